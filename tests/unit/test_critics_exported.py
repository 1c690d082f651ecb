"""A critic is exported as the score of one string by itself, whatever it saw in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from small_runs import Memory, assert_same, begin, configured, lasting, rounds
from torch import Tensor
from torch.nn.functional import one_hot
from untrained_model import ALPHABET, LATENT

from model.artifact import Artifact, write_artifact
from model.sampler import Scorer
from model.text import log_odds
from model.torch_engine import TorchScorer
from training.card import model_card
from training.checkpoint import load_checkpoint, save_checkpoint
from training.configuration import Config
from training.data.dataset import Dataset
from training.export import critic_graph, load_networks, model_files, summarize
from training.loop import Training
from training.scoring import critic_scores, score_quantiles

T, V = ALPHABET.length, ALPHABET.size
STRINGS = ["anna", "bob", "zzzzzzzz", "", "q"]
OPTIONS: list[dict[str, Any]] = [
    *({"critic.norm": norm} for norm in ("batch", "layer", "instance", "weight", "spectral")),
    {"critic.minibatch_discrimination": True},
    {"critic.pack": 3},
    {"variant": "mad-gan", "generators": 3, "critic.norm": "spectral"},
    {"critic.norm": "layer", "critic.minibatch_discrimination": True, "critic.pack": 2},
]


def trained(asked: dict[str, Any]) -> tuple[Config, Dataset, Training]:
    """Two rounds with steps so large that every weight has moved."""
    asked = dict(asked)
    variant = asked.pop("variant", "gan" if asked.get("critic.norm") == "batch" else "wgan-gp")
    config = configured(variant, **asked, **{"model.latent": LATENT}, lr_critic=0.01)
    ids = torch.randint(V, (40, T), generator=torch.Generator().manual_seed(1))
    data = Memory("text", one_hot(ids, V).float())
    training = begin(config, data)
    rounds(training, config, data, 2)
    return config, data, training


def strings() -> Tensor:
    return one_hot(torch.from_numpy(ALPHABET.encode(STRINGS).astype(np.int64)), V).float()


def by_definition(training: Training, asked: dict[str, Any]) -> Tensor:
    """Each string in a batch of its own, m times in a pack, by the critic of the training itself."""
    critic = training.game.players["critic"].eval()
    with torch.no_grad():
        judged = torch.cat([critic(text.repeat(1, 1, asked.get("critic.pack", 1))) for text in strings().split(1)])
    critic.train()
    return log_odds(judged) if judged.dim() == 2 else judged


@pytest.mark.parametrize("asked", OPTIONS, ids=str)
def test_its_graph_gives_the_score_by_definition_for_any_number_of_strings(asked: dict[str, Any]) -> None:
    config, _, training = trained(asked)
    expected, critic = by_definition(training, asked).numpy(), training.game.players["critic"]
    before = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
    _, single = load_networks(config, ALPHABET, training.state_dict())
    session = onnxruntime.InferenceSession(critic_graph(single, ALPHABET), providers=["CPUExecutionProvider"])
    for n in (1, 2, len(STRINGS)):
        (found,) = session.run(["score"], {"text": strings()[:n].numpy()})
        np.testing.assert_allclose(found, expected[:n], rtol=1e-3, atol=1e-3)
    # And looking at it has changed nothing in the critic that is trained.
    assert_same(critic.state_dict(), before)
    assert critic.training


@pytest.mark.parametrize("asked", OPTIONS[-2:], ids=str)
def test_a_model_is_scored_by_torch_as_by_onnx(tmp_path: Path, asked: dict[str, Any]) -> None:
    config, _, training = trained(asked)
    generator, critic = load_networks(config, ALPHABET, training.state_dict())
    summary = summarize(config, ALPHABET, {"train": 40, "held_out": 4}, 2)
    write_artifact(tmp_path / "model", model_files("model", ALPHABET, generator, critic, summary, {}))
    artifact, expected = Artifact.load(tmp_path / "model"), by_definition(training, asked).numpy()
    for scorer in (Scorer(artifact), TorchScorer(artifact, torch.device("cpu"))):
        np.testing.assert_allclose(scorer.scores(STRINGS), expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scorer.scores(STRINGS[:1]), expected[:1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("asked", OPTIONS, ids=str)
def test_its_quantiles_are_of_strings_by_themselves(asked: dict[str, Any]) -> None:
    _, _, training = trained(asked)
    expected = np.quantile(by_definition(training, asked).double().numpy(), np.linspace(0, 1, 101))
    before = lasting(training)["players"]["critic"]
    before = {name: tensor.clone() for name, tensor in before.items()}
    found = score_quantiles(critic_scores(training.game.players["critic"], ALPHABET.encode(STRINGS), symbols=V))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert_same(training.game.players["critic"].state_dict(), before)


def test_weights_that_were_normalised_are_exported_as_what_they_are(tmp_path: Path) -> None:
    config, data, training = trained({"critic.norm": "spectral"})
    save_checkpoint(tmp_path, training.state_dict())
    state = load_checkpoint(tmp_path, torch.device("cpu"))
    assert state is not None
    _, critic = load_networks(config, ALPHABET, state)
    assert {name.partition(".")[0] for name in critic.state_dict()} == {"input", "blocks", "score"}
    for name, weight in critic.state_dict().items():
        if name.endswith("weight"):
            assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)
    rounds(training, config, data, 1)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"critic.pack": 3}, "the score of a string is that of itself 3 times"),
        ({"critic.minibatch_discrimination": True}, "the score of a string is without neighbours"),
        ({"variant": "mad-gan", "generators": 3}, "told 3 generators and the data apart"),
    ],
)
def test_the_card_says_what_the_score_of_a_string_is(asked: dict[str, Any], told: str) -> None:
    config, _, training = trained(asked)
    _, critic = load_networks(config, ALPHABET, training.state_dict())
    summary = {**summarize(config, ALPHABET, {}, 2), "critic": critic.form}
    assert told in model_card("names", summary, {})


def test_the_card_of_a_plain_critic_says_nothing_of_it() -> None:
    config, _, _ = trained({})
    assert "The critic " not in model_card("names", summarize(config, ALPHABET, {}, 2), {})
