"""Estimates of the squared field from a batch: whose mean is the truth, whose is not, and by how much."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from small_games import Coordinate, H, batch_of, descent, position
from small_runs import CPU, begin, configured, data_of
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.game import Batch, Game
from training.layering import resolve
from training.loop import update_rule
from training.updates import Consensus, check_samples_apart
from training.updates.consensus import _halves

ESTIMATORS = ("unbiased", "biased", "per-sample", "u-statistic")
TRUTH, NOISE, N = 0.423, 5.0, 8  # ||E v||^2; the deviation of each coordinate of a sample's v; samples in a batch
COVARIANCE = 2 * NOISE**2  # tr Cov of a sample's v


def noisy() -> Game:
    """A field of a known mean seen through noise: v_i = (b, -a) + NOISE * the i-th latent."""
    one, other = Coordinate(TRUTH**0.5 * 0.6), Coordinate(TRUTH**0.5 * 0.8)
    return Game(
        players={"a": one, "b": other},
        objective={
            "a": lambda batch: {"loss": one.at * (other.at + NOISE * batch.latent[:, 0].mean())},
            "b": lambda batch: {"loss": other.at * (NOISE * batch.latent[:, 1].mean() - one.at)},
        },
        turns=("a", "b"),
    )


def estimates(estimator: str, draws: int) -> tuple[float, float, float]:
    """Mean, standard error and deviation of the estimate over many batches of N."""
    game, rule = noisy(), Consensus(0.0, estimator)
    still, generator = descent(game, h=0.0), torch.Generator().manual_seed(5)

    def draw() -> Batch:
        latent = torch.randn(N, 2, generator=generator, dtype=torch.float64)
        return batch_of(latent, latent)

    found = np.array([rule.play_round(game, still, draw)["consensus/squared_field"].item() for _ in range(draws)])
    return found.mean(), found.std(ddof=1) / draws**0.5, found.std(ddof=1)


@pytest.mark.parametrize(
    ("estimator", "draws", "expected"),
    [
        ("unbiased", 600, TRUTH),
        ("u-statistic", 300, TRUTH),
        ("biased", 400, TRUTH + COVARIANCE / N),
        ("per-sample", 100, TRUTH + COVARIANCE),
    ],
)
def test_the_mean_of_an_estimate_is_the_truth_and_its_bias(estimator: str, draws: int, expected: float) -> None:
    mean, error, _ = estimates(estimator, draws)
    assert abs(mean - expected) < 3 * error
    # The biases, 6.25 and 50, are ones that would be seen.
    assert 3 * error < (10 if estimator == "per-sample" else 2)


def test_the_u_statistic_scatters_less_than_the_product_of_half_batches() -> None:
    # Without a mean: variances tr(Cov^2) of 2/(N (N - 1)) and of 4/N^2.
    whole, halves = (estimates(name, 200)[2] for name in ("u-statistic", "unbiased"))
    assert whole < halves
    assert whole == pytest.approx((2 * 2 * NOISE**4 / (N * (N - 1))) ** 0.5, rel=0.25)


class Bend(nn.Module):
    """x^2 through a tanh, scaled by each sample: second derivatives that are not constant."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, scale: Tensor) -> Tensor:
        return (self.at * scale).tanh() + self.at.square()


def bent(a: float = 0.7, b: float = -0.4) -> Game:
    one, other = Bend(a), Bend(b)

    def value(batch: Batch) -> Tensor:
        return (one(batch.latent[:, 0]) * other(batch.latent[:, 1]) + one(batch.real[:, 0])).mean()

    return Game(
        players={"a": one, "b": other},
        objective={"a": lambda batch: {"loss": value(batch)}, "b": lambda batch: {"loss": -value(batch)}},
        turns=("a", "b"),
    )


def sampled(n: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(3)
    real, latent = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    return batch_of(real, latent)


def squared(estimator: str, a: float, b: float) -> float:
    game = bent(a, b)
    terms = Consensus(0.0, estimator).play_round(game, descent(game, h=0.0), sampled)
    return terms["consensus/squared_field"].item()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_pull_is_half_the_gradient_of_the_estimate_by_differences(estimator: str) -> None:
    at, d = (0.7, -0.4), 1e-5
    ends = []
    for gamma in (0.0, 1.0):
        game = bent(*at)
        Consensus(gamma, estimator).play_round(game, descent(game), sampled)
        ends.append(position(game))
    half = [
        (squared(estimator, at[0] + x, at[1] + y) - squared(estimator, at[0] - x, at[1] - y)) / (4 * d)
        for x, y in ((d, 0), (0, d))
    ]
    assert (ends[0] - ends[1]) / H == pytest.approx(half, rel=1e-6)


def of_samples(batch: Batch) -> list[np.ndarray]:
    """v_i, one sample at a time, from where a plain step goes."""
    found = []
    for i in range(len(batch.latent)):
        game = bent()
        Consensus(0.0, "biased").play_round(game, descent(game), lambda i=i: batch.rows(slice(i, i + 1)))
        found.append((np.array([0.7, -0.4]) - position(game)) / H)
    return found


@pytest.mark.parametrize("n", [2, 5])
def test_estimates_are_what_they_say_of_the_fields_of_samples(n: int) -> None:
    fields = of_samples(sampled(n))
    expected = {
        "biased": np.square(np.mean(fields, axis=0)).sum(),
        "per-sample": np.mean([v @ v for v in fields]),
        "u-statistic": np.mean([v @ w for v, w in combinations(fields, 2)]),
        "unbiased": np.mean(fields[::2], axis=0) @ np.mean(fields[1::2], axis=0),
    }
    for estimator, value in expected.items():
        game = bent()
        terms = Consensus(0.0, estimator).play_round(game, descent(game), lambda: sampled(n))
        assert terms["consensus/squared_field"].item() == pytest.approx(value, rel=1e-7), estimator


@pytest.mark.parametrize(("estimator", "message"), [("unbiased", "halves a batch"), ("u-statistic", "pairs samples")])
def test_two_samples_are_needed(estimator: str, message: str) -> None:
    game = bent()
    with pytest.raises(ValueError, match=f"{message}, so it needs at least 2 .*, got 1"):
        Consensus(1.0, estimator).play_round(game, descent(game), lambda: sampled(1))


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [2, 3])
def test_the_ranks_halves_are_together_those_of_the_whole_batch(n: int, ranks: int) -> None:
    whole = torch.arange(float(n * ranks)).view(-1, 1)
    parts = [_halves(Batch(rows, rows, rows[:, 0], rank=rank, ranks=ranks)) for rank, rows in enumerate(whole.split(n))]
    for half, expected in enumerate((whole[::2], whole[1::2])):
        assert torch.equal(torch.cat([part[half][0].latent for part in parts]), expected)
        # The mean over ranks of their means, so weighted, is that over the half.
        mean = sum(part[half][0].latent.mean() * part[half][1] for part in parts) / ranks
        assert float(mean) == pytest.approx(float(expected.mean()))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_configuration_chooses_the_estimator_and_its_weight(estimator: str) -> None:
    config, _ = resolve({"test": {"update": "consensus", "consensus": 0.3, "consensus_estimator": estimator}})
    assert update_rule(config) == Consensus(0.3, estimator)


@pytest.mark.parametrize("estimator", ["per-sample", "u-statistic"])
@pytest.mark.parametrize(
    ("variant", "kind", "changed", "reason"),
    [
        ("dcgan", "image", {}, "batch norm"),
        ("gan", "points", {"critic.norm": "batch"}, "batch norm"),
        ("gan", "text", {"critic.minibatch_discrimination": True}, "critic.minibatch_discrimination"),
        ("gan", "points", {"feature_matching": True}, "feature_matching"),
        ("gan", "points", {"unrolled": 2}, "unrolled"),
        ("gan-cls", "points", {}, "variant = gan-cls"),
        ("cyclegan", "image", {}, "variant = cyclegan"),
    ],
)
def test_where_losses_are_of_samples_together_no_estimator_plays_them_alone(
    estimator: str, variant: str, kind: str, changed: dict[str, object], reason: str
) -> None:
    config = configured(variant, update="consensus", consensus_estimator=estimator, **changed)
    game = begin(config, data_of(kind, variant)).game
    with pytest.raises(ConfigurationError, match=rf"{estimator} looks at one sample .* {reason} .*: ask for unbiased"):
        check_samples_apart(config, game)
    check_samples_apart(config.model_copy(update={"consensus_estimator": "unbiased"}), game)
    check_samples_apart(config.model_copy(update={"update": "simultaneous"}), game)


def test_where_samples_are_apart_they_may_be_played_alone() -> None:
    for changed in ({}, {"critic.norm": "layer"}, {"generator.virtual_batch_norm": True}):
        config = configured("wgan-gp", update="consensus", consensus_estimator="u-statistic", **changed)
        game = begin(config, data_of("points")).game
        check_samples_apart(config, game)
        assert set(game.players) == {"critic", "generator"}
        assert next(game.players["critic"].parameters()).device == CPU
