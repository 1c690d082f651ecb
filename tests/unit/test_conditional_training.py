"""Learning under labels: who sees which label, and that nothing but the labels is another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import CPU, Memory, assert_same, begin, configured, data_of, lasting, rounds
from torch import Tensor

from model.errors import DataError
from model.labels import FEW, Labels
from model.latents import latents
from model.text import Critic, Generator, labelled
from training.card import model_card
from training.catalogue import CATALOGUE
from training.configuration import DataConfig
from training.data import Corpus
from training.data.toys import open_builtin_array
from training.loop import Draws
from training.penalties import gradient_penalty
from training.preparation import describe
from training.scoring import critic_scores, score_quantiles

LABELS = Labels(("a", "b", "c"), np.array([0.5, 0.25, 0.25]))
K, V = len(LABELS), 6
# Several generators and codes are branches, which take the place of labels; where few are labelled the generator takes
# none; and some critics are told none: they find them, or judge latents.
WITHOUT = {"generators", "codes", "labelled", "label_weight", "regularisation"}
PLAYED = [(name, "alternating") for name, e in CATALOGUE.items() if "text" in e.kinds and not WITHOUT & {*e.options}]
PLAYED += [("wgan-gp", "simultaneous"), ("wgan-gp", "consensus")]


def conditional_data() -> Memory:
    """The text of ``data_of``, row i under label i modulo 3."""
    plain = data_of("text")
    text = plain.draw(np.arange(len(plain)), CPU)
    return Memory("text", labelled(text, torch.eye(K)[torch.arange(len(plain)) % K]), LABELS)


def of_labels(weights: Tensor) -> Tensor:
    """What stands in the last K columns, (outputs, K), of a generator's first layer or a critic's."""
    return weights.detach()[:, -K:].flatten(1).clone()


def test_a_batch_has_the_labels_of_its_real_rows_in_its_latents_and_is_otherwise_the_same() -> None:
    plain, conditional = (Draws(data, 12, 4, 7, CPU).batch(5, 1) for data in (data_of("text"), conditional_data()))
    assert torch.equal(conditional.real[:, :, :V], plain.real)
    assert torch.equal(conditional.latent[:, :4], plain.latent)
    assert torch.equal(conditional.mix, plain.mix)
    marks = conditional.latent[:, 4:]
    assert torch.equal(conditional.real[:, :, V:], marks.unsqueeze(1).expand(-1, 5, -1))
    assert torch.equal(marks.sum(dim=1), torch.ones(12))
    assert set(marks.argmax(dim=1).tolist()) == set(range(K))


def test_a_generator_gives_a_critic_its_text_under_the_label_that_it_was_asked_for() -> None:
    torch.manual_seed(0)
    generator = Generator(length=5, size=V, width=4, depth=1, kernel=3, latent=3, labels=K)
    rows = torch.from_numpy(LABELS.rows(0, 0, 9, 3))
    given = generator(rows)
    assert torch.equal(given, labelled(generator.logits(rows).softmax(dim=2), rows[:, 3:]))


def test_a_label_weighs_as_much_as_the_latent_at_the_start() -> None:
    torch.manual_seed(0)
    weight = Generator(length=8, size=V, width=64, depth=1, kernel=3, latent=100, labels=K).expand.weight
    of_latent, of_label = weight[:, :100].var().item(), weight[:, 100:].var().item()
    # Uniform numbers: the variance of 1,536 of them is known to 2 %.
    assert of_label == pytest.approx(100 * of_latent, rel=0.1)


def test_the_penalty_looks_between_texts_under_the_one_label_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, slope = list[Tensor](), Critic.slope

    def watched(critic: Critic, at: Tensor) -> Tensor:
        seen.append(at)
        return slope(critic, at)

    monkeypatch.setattr(Critic, "slope", watched)
    config, data = configured(), conditional_data()
    batch = Draws(data, 6, 3, 0, CPU).batch(0, 0)
    begin(config, data).game.loss("critic", batch)
    (at,) = seen
    assert torch.equal(at[:, :, V:], batch.real[:, :, V:])
    assert not torch.equal(at[:, :, :V], batch.real[:, :, :V])


def test_the_penalty_is_the_same_by_differentiating_twice_in_the_text_alone() -> None:
    torch.manual_seed(0)
    critic = Critic(length=5, size=V, width=4, depth=1, kernel=3, labels=K).double()
    marks = torch.eye(K, dtype=torch.float64)
    real, fake = torch.randn(2, K, 5, V, dtype=torch.float64).softmax(3)
    mix = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    closed = gradient_penalty(critic, labelled(real, marks), labelled(fake, marks), mix)
    assert closed.item() == pytest.approx(
        gradient_penalty(lambda text: critic(labelled(text, marks)), real, fake, mix).item(), rel=1e-9
    )


@pytest.mark.parametrize(("variant", "update"), PLAYED)
def test_every_game_on_text_teaches_both_players_their_labels(variant: str, update: str) -> None:
    config, data = configured(variant, update=update), conditional_data()
    training = begin(config, data)
    generator, critic = (training.game.players[name] for name in ("generator", "critic"))
    assert isinstance(generator, Generator)
    assert isinstance(critic, Critic)
    before = of_labels(generator.expand.weight), of_labels(critic.input.weight)
    terms = rounds(training, config, data, 2)
    assert all(value.isfinite() for each in terms for value in each.values())
    for start, now in zip(before, (generator.expand.weight, critic.input.weight), strict=True):
        assert (of_labels(now) != start).any(dim=0).all()


def test_a_conditional_run_that_was_stopped_ends_with_the_same_weights() -> None:
    config, data = configured(), conditional_data()
    undisturbed, begun, continued = (begin(config, data) for _ in range(3))
    rounds(undisturbed, config, data, 4)
    rounds(begun, config, data, 2)
    continued.load_state_dict(begun.state_dict())
    rounds(continued, config, data, 2)
    assert_same(lasting(continued), lasting(undisturbed))


def table(path: Path, labels: list[str]) -> Path:
    path.write_text("text,kind\n" + "".join(f"ab{i},{label}\n" for i, label in enumerate(labels)), encoding="utf-8")
    return path


def test_a_corpus_gives_rows_under_their_labels_and_the_shares_of_these(
    open_text: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = open_text(table(tmp_path / "a.csv", ["x", "y", "x", "x"] * 50), label="kind")
    assert corpus.train_labels is not None
    assert corpus.labels.names == ("x", "y")
    assert corpus.labels.shares.tolist() == [np.mean(corpus.train_labels == k) for k in (0, 1)]
    length, channels = corpus.shape
    assert (length, channels) == (corpus.alphabet.length, corpus.alphabet.size + 2)
    rows = np.array([0, 5, 5, 17])
    text = torch.eye(channels - 2)[torch.from_numpy(corpus.train[rows].astype(np.int64))]
    marks = torch.eye(2)[torch.from_numpy(corpus.train_labels[rows].astype(np.int64))]
    assert torch.equal(corpus.draw(rows, CPU), labelled(text, marks))
    assert describe(corpus)[-1] == "Every string is learned under its label, of which there are 2."


def test_a_corpus_without_labels_is_not_conditional(open_text: Callable[..., Corpus], tmp_path: Path) -> None:
    corpus = open_text(table(tmp_path / "a.csv", ["x", "y"] * 50), column="text")
    assert not corpus.labels
    assert corpus.shape == (corpus.alphabet.length, corpus.alphabet.size)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["x", ""] * 9, "every label must be a string of 1 to 255 characters"),
        (["x", "y" * 256] * 9, "every label must be a string of 1 to 255 characters"),
        (list(map(str, range(10_001))), "between 1 and 10000 labels, got 10001"),
    ],
)
def test_labels_that_no_model_can_have_are_refused_before_training(
    open_text: Callable[..., Corpus], tmp_path: Path, labels: list[str], told: str
) -> None:
    corpus = open_text(table(tmp_path / "a.csv", labels), label="kind")
    with pytest.raises(DataError, match=rf"data\.label: .*{told}.*: mend the labels, or leave data\.label out"):
        _ = corpus.shape


def test_images_are_learned_without_their_labels() -> None:
    digits = open_builtin_array("builtin:digits", DataConfig(sources=("builtin:digits",)))
    assert digits.train_labels is not None
    assert not digits.labels


def test_quantiles_are_those_of_strings_under_their_labels() -> None:
    torch.manual_seed(0)
    critic = Critic(length=5, size=V, width=4, depth=1, kernel=3, labels=K)
    ids = np.random.default_rng(0).integers(0, V, (300, 5), dtype=np.uint8)
    marks = LABELS.of_strings(0, 0, 300)
    text = labelled(torch.eye(V)[torch.from_numpy(ids.astype(np.int64))], torch.eye(K)[torch.from_numpy(marks)])
    with torch.no_grad():
        expected = np.quantile(critic(text).double().numpy(), np.linspace(0, 1, 101))
    assert score_quantiles(critic_scores(critic, ids, marks, symbols=V, labels=K)) == pytest.approx(
        expected.tolist(), abs=1e-6
    )


def test_rows_without_labels_are_the_latents_alone() -> None:
    assert (Labels().rows(3, 5, 7, 4) == latents(3, 5, 7, 4)).all()
    rows = LABELS.rows(3, 5, 7, 4)
    assert (rows[:, :4] == latents(3, 5, 7, 4)).all()
    assert LABELS.names_of(rows) == [LABELS.names[k] for k in LABELS.of_strings(3, 5, 7)]
    assert Labels.from_json(LABELS.to_json(), "config.json").listed() == LABELS.listed()


def card_of(tiny_model: Path, labels: dict[str, Any] | None) -> str:
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    return model_card("names", config | ({"labels": labels} if labels else {}), {})


def test_the_card_lists_labels_by_their_shares_in_one_cell(tiny_model: Path) -> None:
    card = card_of(tiny_model, {"names": ["a|b", "c\nd"], "shares": [0.25, 0.75]})
    assert '\n| labels | `"c\\nd"` 75.0%, `"a\\|b"` 25.0% |\n| networks' in card
    assert "--label LABEL" in card
    many = [f"l{i}" for i in range(FEW + 5)]
    assert "and 5 more in `config.json` |" in card_of(
        tiny_model, {"names": many, "shares": [1 / len(many)] * len(many)}
    )


def test_the_card_of_a_model_without_labels_has_none(tiny_model: Path) -> None:
    assert "label" not in card_of(tiny_model, None)
