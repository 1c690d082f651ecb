"""The game of a generator against a critic that names labels, of which it is told few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from discrete import COUNTS_P, FAKE, REAL, P, Q, minimised
from small_runs import CPU, LABELS, begin, configured, data_of, rounds, weights
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, one_hot
from untrained_model import ALPHABET, LATENT

from model.artifact import Artifact, write_artifact
from model.errors import ConfigurationError
from model.labels import UNCONDITIONAL
from model.sampler import Scorer
from model.torch_engine import TorchScorer
from training.card import model_card
from training.conditions import Conditions, beside, without
from training.data.dataset import Kind
from training.data.few import FewLabelled, balanced, parted
from training.export import load_networks, model_files, summarize
from training.game import Batch
from training.games.semi_supervised import on_fake, on_real
from training.loop import Draws, Training
from training.observer import generate, obeyed
from training.plan import plan
from training.updates import check_samples_apart

VARIANT = "semi-supervised-gan"
KINDS: tuple[Kind, ...] = ("text", "image", "points")
K, FEW = len(LABELS), 7


def begun(kind: Kind, **changed: Any) -> tuple[Training, Batch]:
    """The game on a kind of data, and its first batch."""
    config, data = configured(VARIANT, labelled=FEW, **changed), data_of(kind, VARIANT)
    training = begin(config, data)
    return training, Draws.of(training, data, config, CPU).batch(0, 0)


def with_fake(logits: Tensor) -> Tensor:
    """Logits of K + 1 classes, that of generated samples last and 0."""
    return torch.cat([logits, torch.zeros(len(logits), 1, dtype=logits.dtype)], dim=1)


def test_the_loss_of_k_logits_is_that_of_a_classifier_of_k_and_one_classes() -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = (4 * torch.randn(50, K, generator=random, dtype=torch.float64) for _ in range(2))
    z_real, z_fake = (logits.logsumexp(dim=1) for logits in (real, fake))
    of_real, of_fake = (log_softmax(with_fake(logits), dim=1) for logits in (real, fake))
    assert on_real(z_real).item() == pytest.approx(-0.5 * (1 - of_real[:, K].exp()).log().mean().item(), rel=1e-9)
    assert on_fake(z_fake).item() == pytest.approx(-0.5 * of_fake[:, K].mean().item(), rel=1e-9)
    # A label given that the sample is real: p(y | x) / (1 - p(K + 1 | x)).
    given = of_real[:, :K] - (1 - of_real[:, K].exp()).log().unsqueeze(1)
    assert torch.allclose(log_softmax(real, dim=1), given)


@pytest.mark.parametrize("alpha", [0.7, 0.9])
def test_real_samples_may_have_a_smoothed_target(alpha: float) -> None:
    z = torch.linspace(-9, 9, 40, dtype=torch.float64)
    expected = -0.5 * (alpha * z.sigmoid().log() + (1 - alpha) * (-z).sigmoid().log()).mean()
    assert on_real(z, alpha).item() == pytest.approx(expected.item(), rel=1e-9)


def test_at_the_optimum_labels_are_those_of_the_data_and_z_is_the_log_ratio_of_the_two_laws() -> None:
    of_label = torch.tensor([[4, 1, 1], [2, 2, 0], [1, 0, 0], [0, 2, 3], [0, 0, 2]]).double()
    points, labels = (each.repeat_interleave(of_label.long().flatten()) for each in
                      (torch.arange(5).repeat_interleave(3), torch.arange(3).repeat(5)))  # fmt: skip

    def loss(logits: Tensor) -> Tensor:
        z = logits.logsumexp(dim=1)
        return cross_entropy(logits[points], labels) + on_real(z[REAL]) + on_fake(z[FAKE])

    logits, _ = minimised(loss, 5, 3)
    share = of_label / of_label.sum(dim=1, keepdim=True)
    assert COUNTS_P.sum() == len(REAL)
    assert torch.allclose(logits.softmax(dim=1), share, atol=1e-3)
    assert torch.allclose(logits.logsumexp(dim=1), (P / Q).log(), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_each_player_learns_from_its_own_terms(kind: Kind) -> None:
    training, batch = begun(kind)
    game = training.game
    _, terms = game.loss("critic", batch)
    assert set(terms) == {"labels", "real", "fake"}
    for name, of_generator in (("labels", False), ("real", False), ("fake", True)):
        found = torch.autograd.grad(terms[name], game.parameters("generator"), allow_unused=True, retain_graph=True)
        assert any(gradient is not None and gradient.any() for gradient in found) == of_generator, name
        found = torch.autograd.grad(terms[name], game.parameters("critic"), retain_graph=True)
        assert any(gradient.abs().max() > 0 for gradient in found), name
    loss, matched = game.loss("generator", batch)
    assert set(matched) == {"feature_matching"}
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(loss, game.parameters("generator"))[-2:])


@pytest.mark.parametrize("kind", KINDS)
def test_the_critic_sees_no_label_and_the_generator_is_told_none(kind: Kind) -> None:
    training, batch = begun(kind)
    own, few, marks = parted(batch.real, K)
    assert batch.latent.shape == (6, 3)
    assert training.game.players["critic"](few).shape == (6, K)
    assert training.game.players["generator"](batch.latent).shape == own.shape == few.shape
    other = replace(batch, real=torch.cat([own, beside(few, marks.roll(1, 1))], dim=1 if kind == "image" else -1))
    one, two = (training.game.loss("critic", each)[1] for each in (batch, other))
    assert one["labels"] != two["labels"]
    assert (one["real"], one["fake"]) == (two["real"], two["fake"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_drawn_beside_every_labelled_one(kind: Kind) -> None:
    data = data_of(kind, VARIANT)
    few = FewLabelled.of(data, FEW, 3)
    assert len(few) == len(data) * FEW
    drawn = few.draw(np.arange(len(few)), CPU)
    assert drawn.shape[1:] == few.shape
    own, labelled, marks = parted(drawn, K)
    plain = without(data.samples, K)
    assert torch.equal(own, plain.repeat_interleave(FEW, dim=0))
    chosen = data.samples[torch.from_numpy(few.rows)]
    assert torch.equal(labelled, without(chosen, K).repeat(len(data), *[1] * (plain.dim() - 1)))
    assert torch.equal(marks, Conditions(K).of(chosen).repeat(len(data), 1))


def test_the_few_are_balanced_and_a_function_of_the_seed() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 1000)
    for count in (10, 20, 25, 999):
        rows = balanced(labels, count, 10, 5)
        found = np.bincount(labels[rows], minlength=10)
        assert len(set(rows.tolist())) == count
        assert count == 999 or found.max() - found.min() <= 1
        assert np.array_equal(rows, balanced(labels, count, 10, 5))
    assert not np.array_equal(balanced(labels, 20, 10, 5), balanced(labels, 20, 10, 6))


def test_a_rare_label_gives_all_that_it_has() -> None:
    labels = np.array([0] * 50 + [1] * 2 + [2] * 50)
    assert np.bincount(labels[balanced(labels, 20, 3, 0)]).tolist() in ([9, 2, 9], [9, 2, 9])


@pytest.mark.parametrize("labelled", [K - 1, 41])
def test_a_number_that_cannot_be_labelled_is_refused_with_its_bounds(labelled: int) -> None:
    with pytest.raises(ConfigurationError, match=f"labelled must be between {K}.* and 40.*, got {labelled}"):
        FewLabelled.of(data_of("points", VARIANT), labelled, 0)


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"semi-supervised-gan needs labels: name them by data\.label"):
        begin(configured(VARIANT), data_of("points"))
    with pytest.raises(ConfigurationError, match=r"^labelled = 30 has no effect on variant gan, only on semi-"):
        plan({"flag": {"data.sources": ("names.txt",), "variant": "gan", "labelled": 30}})


@pytest.mark.parametrize("estimator", ["per-sample", "u-statistic"])
def test_a_consensus_of_single_samples_is_refused_since_features_are_matched_of_a_batch(estimator: str) -> None:
    config = configured(VARIANT, update="consensus", consensus_estimator=estimator)
    with pytest.raises(ConfigurationError, match=f"{estimator} looks at one sample at a time"):
        check_samples_apart(config, begin(config, data_of("points", VARIANT)).game)


@pytest.mark.parametrize("key", ["feature_matching", "unrolled"])
def test_what_takes_the_place_of_feature_matching_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} takes the place of the generator's loss"):
        begun("points", **{key: 1})


@pytest.mark.parametrize(
    "asked",
    [
        {"r1": 1.0, "r2": 1.0},
        {"critic.norm": "batch"},
        {"critic.norm": "weight", "instance_noise": 0.3},
        {"critic.minibatch_discrimination": True},
        {"generator.mixture": 3},
    ],
    ids=str,
)
def test_it_obeys_what_every_variant_does(asked: dict[str, Any]) -> None:
    config, data = configured(VARIANT, labelled=FEW, **asked), data_of("image", VARIANT)
    training = begin(config, data)
    before = weights(training)
    for terms in rounds(training, config, data, 2):
        assert all(torch.isfinite(value) for value in terms.values())
        assert {f"critic/{key}" for key in asked if key in ("r1", "r2")} <= terms.keys()
    assert all(not torch.equal(a[0], b[0]) for a, b in zip(before.values(), weights(training).values(), strict=True))


def test_samples_are_drawn_without_labels_of_a_generator_that_obeys_none() -> None:
    training, _ = begun("image")
    generator = training.average.module
    assert not obeyed(generator, LABELS)
    assert np.array_equal(generate(generator, 5, 3, labels=LABELS), generate(generator, 5, 3, labels=UNCONDITIONAL))
    told = begin(configured("cgan"), data_of("image", "cgan")).average.module
    assert obeyed(told, LABELS) is LABELS


def test_an_exported_model_has_no_labels_and_scores_by_the_log_odds_of_being_real(tmp_path: Any) -> None:
    config = configured(VARIANT, labelled=FEW, **{"model.latent": LATENT, "data.label": "kind"}, lr_critic=0.01)
    ids = torch.randint(ALPHABET.size, (40, ALPHABET.length), generator=torch.Generator().manual_seed(1))
    text = beside(one_hot(ids, ALPHABET.size).float(), torch.eye(K)[torch.arange(40) % K])
    data = replace(data_of("text", VARIANT), samples=text)
    training = begin(config, data)
    rounds(training, config, data, 2)
    generator, critic = load_networks(config, ALPHABET, training.state_dict(), UNCONDITIONAL, named=K)
    assert critic is not None
    summary = summarize(config, ALPHABET, {"train": 40, "held_out": 4, "named_labels": ["a", "b", "c"]}, 2)
    write_artifact(tmp_path / "model", model_files("model", ALPHABET, generator, critic, summary, {}))
    artifact, strings = Artifact.load(tmp_path / "model"), ["anna", "bob", ""]
    assert not artifact.labels
    rows = one_hot(torch.from_numpy(ALPHABET.encode(strings).astype(np.int64)), ALPHABET.size).float()
    with torch.no_grad():
        expected = training.game.players["critic"](rows).logsumexp(dim=1).numpy()
    for scorer in (Scorer(artifact), TorchScorer(artifact, CPU)):
        np.testing.assert_allclose(scorer.scores(strings), expected, rtol=1e-3, atol=1e-3)
    card = model_card("names", {**summary, "critic": critic.form}, {})
    assert f"The critic names {K} labels" in card
    assert "| labels |" not in card
