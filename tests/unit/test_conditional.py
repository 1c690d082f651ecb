"""Conditional networks and engines: a string depends on (model, seed, index, label) alone, and is of its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conditional_model import ALPHABET, LABELS, LATENT, LETTERS, networks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from model import latents as counter
from model.artifact import Artifact
from model.decoding import Decoding
from model.engines import open_engine
from model.errors import ArtifactError, ConfigurationError
from model.sampler import Part, Sampler
from model.text import Critic, Generator, labelled

TEXTS = ["", "a", "abab", "cdcdcdcd", "x?y", "ffffffffff"] * 50
MARKS = ["de", "fr", "it", "it", "fr"] * 60

# A seed, a place in it, how many, and the label asked for or None.
Wish = tuple[int, int, int, str | None]
wishes = st.tuples(
    st.integers(0, 5), st.integers(0, 300), st.integers(1, 40), st.sampled_from([None, None, *LABELS.names])
)


@pytest.fixture(scope="module")
def artifact(conditional_model: Path) -> Artifact:
    return Artifact.load(conditional_model)


@pytest.fixture(scope="module")
def sampler(artifact: Artifact) -> Sampler:
    return Sampler(artifact, 1)


@pytest.fixture(scope="module", params=["onnx", "torch"])
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Sampler:
    return open_engine(request.param)(artifact, 1)


def is_of(text: str, label: str) -> bool:
    return bool(text) and set(text) <= set(LETTERS[label])


def test_networks_without_labels_are_what_they_were() -> None:
    shape = {"length": 8, "size": 8, "width": 6, "depth": 1, "kernel": 3}
    for network, further in ((Generator, {"latent": 4}), (Critic, {})):
        torch.manual_seed(1)
        before = network(**shape, **further).state_dict()
        torch.manual_seed(1)
        after = network(**shape, **further, labels=0).state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
    generator, critic = Generator(**shape, latent=4), Critic(**shape)
    assert generator.expand.in_features == 4
    assert critic.input.in_channels == 8


def test_the_slope_of_a_conditional_critic_is_that_in_the_text() -> None:
    torch.manual_seed(2)
    critic = Critic(length=7, size=5, width=6, depth=2, kernel=3, labels=3).double()
    text = torch.randn(4, 7, 5, dtype=torch.float64).softmax(2).requires_grad_()
    marked = labelled(text, torch.eye(3, dtype=torch.float64)[[0, 2, 1, 2]])
    assert marked.shape == (4, 7, 8)
    (gradient,) = torch.autograd.grad(critic(marked).sum(), text)
    torch.testing.assert_close(critic.slope(marked), gradient.flatten(1).norm(dim=1), rtol=1e-12, atol=0)


def test_the_label_decides_what_the_strings_are_of(engine: Sampler) -> None:
    for label in LABELS.names:
        texts = engine.texts(engine.latents(5, 0, 200, label))
        assert all(is_of(text, label) for text in texts)
        assert len(set(texts)) > 100


def test_without_a_label_each_string_is_of_the_one_that_it_draws(engine: Sampler) -> None:
    rows = engine.latents(5, 0, 600)
    labels = LABELS.names_of(rows)
    assert all(labels.count(label) > 60 for label in LABELS.names)
    assert all(map(is_of, engine.texts(rows), labels))


def test_a_string_has_the_same_latent_whatever_its_label(sampler: Sampler) -> None:
    latents = counter.latents(5, 3, 20, LATENT)
    for label in (None, *LABELS.names):
        rows = sampler.latents(5, 3, 20, label)
        assert rows.shape == (20, LATENT + 3)
        assert (rows[:, :LATENT] == latents).all()


def test_asking_for_the_label_that_a_string_draws_gives_the_same_string(sampler: Sampler) -> None:
    drawn = sampler.latents(5, 0, 30)
    texts = sampler.texts(drawn)
    again = [sampler.texts(sampler.latents(5, i, 1, label))[0] for i, label in enumerate(LABELS.names_of(drawn))]
    assert again == texts


@settings(deadline=None, max_examples=60)
@given(mixed=st.lists(wishes, min_size=1, max_size=8), drawn=st.booleans())
def test_no_string_depends_on_the_labels_beside_it(sampler: Sampler, mixed: Sequence[Wish], drawn: bool) -> None:
    rows, parts, alone, start = [], list[Part](), list[str](), 0
    for seed, first, n, label in mixed:
        rows.append(sampler.latents(seed, first, n, label))
        own = [Part(0, n, seed, first, Decoding(1.5))] if drawn else []
        parts += [replace(part, start=start, stop=start + n) for part in own]
        alone += sampler.texts(rows[-1], own)
        start += n
    assert sampler.texts(np.concatenate(rows), parts) == alone


def test_a_stream_gives_the_strings_of_a_label_in_slices(sampler: Sampler) -> None:
    slices = list(sampler.stream(5, 7, 600, "fr"))
    assert [len(part) for part in slices] == [256, 256, 88]
    assert [text for part in slices for text in part] == sampler.texts(sampler.latents(5, 7, 600, "fr"))


def test_both_engines_make_the_same_strings_and_scores(artifact: Artifact, sampler: Sampler) -> None:
    torch_sampler = open_engine("torch")(artifact, 1)
    rows = sampler.latents(7, 0, 600)
    assert (torch_sampler.latents(7, 0, 600) == rows).all()
    if not torch.cuda.is_available():  # where bf16 changes a few
        assert torch_sampler.texts(rows) == sampler.texts(rows)
    assert np.allclose(torch_sampler.scores(TEXTS, MARKS), sampler.scores(TEXTS, MARKS), atol=2e-2)


def test_logits_and_scores_equal_those_of_the_networks(sampler: Sampler) -> None:
    generator, critic = networks()
    rows = sampler.latents(1, 0, 50)
    ids = torch.from_numpy(ALPHABET.encode(TEXTS).astype(np.int64))
    marks = torch.eye(3)[[LABELS.position(label) for label in MARKS]]
    with torch.no_grad():
        logits = generator.logits(torch.from_numpy(rows)).numpy()
        scores = critic(labelled(nn.functional.one_hot(ids, 8).float(), marks)).numpy()
    assert np.allclose(sampler.logits(rows), logits, atol=1e-4)
    assert np.allclose(sampler.scores(TEXTS, MARKS), scores, atol=1e-4)


def test_a_score_is_that_of_the_text_as_one_of_its_label(engine: Sampler) -> None:
    scores = engine.scores(["abab"] * 3, LABELS.names)
    assert len(set(scores.tolist())) == 3
    assert engine.scores(TEXTS, MARKS)[7] == pytest.approx(engine.scores(TEXTS[7:8], MARKS[7:8])[0], abs=1e-5)
    assert engine.scores([]).shape == (0,)


def test_threads_that_share_a_batch_change_no_score(artifact: Artifact, sampler: Sampler) -> None:
    assert (Sampler(artifact, 3).scores(TEXTS, MARKS) == sampler.scores(TEXTS, MARKS)).all()


def test_texts_without_their_labels_are_not_scored(sampler: Sampler, tiny_model: Path) -> None:
    for labels in ((), ("de",)):
        with pytest.raises(ConfigurationError, match="say of which label the texts are; it has 3 labels: de, fr, it"):
            sampler.scores(["a", "b"], labels)
    with pytest.raises(ConfigurationError, match="the model has no label of that name"):
        sampler.scores(["a"], ["atlantis"])
    with pytest.raises(ConfigurationError, match="the model is not conditional"):
        Sampler(Artifact.load(tiny_model), 1).scores(["a"], ["de"])


def test_a_label_of_a_model_without_labels_is_refused(tiny_model: Path) -> None:
    plain = Sampler(Artifact.load(tiny_model), 1)
    assert (plain.latents(5, 0, 9) == counter.latents(5, 0, 9, 16)).all()
    with pytest.raises(ConfigurationError, match="the model is not conditional"):
        plain.latents(5, 0, 9, "de")


def test_a_conditional_network_warms_up_with_its_labels_and_no_others(engine: Sampler, artifact: Artifact) -> None:
    engine.warm_up()
    shares = {"names": ["de", "fr"], "shares": [0.5, 0.5]}
    other = replace(artifact, config=artifact.config | {"labels": shares})
    with pytest.raises(ArtifactError, match=r"generator\.(onnx does not run|safetensors does not fit)"):
        type(engine)(other, 1).warm_up()
