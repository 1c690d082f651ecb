"""Consensus on games whose every step is known: it converges, and its estimates are what they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_games import NOTHING, STEPS, Coordinate, H, batch_of, bilinear, descent, dirac, play
from small_runs import begin, configured, data_of
from torch import Tensor

from training.divergences import Divergence, minimax, non_saturating
from training.game import Batch, Game
from training.journal import Means, NonFiniteError
from training.updates import Consensus, Simultaneous


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_consensus_converges_in_the_bilinear_game(estimator: str) -> None:
    # Without noise two half batches have one field, and both estimators the same square.
    distance = np.linalg.norm(play(bilinear(), Consensus(1.0, estimator)))
    assert distance == pytest.approx(math.sqrt(2) * ((1 - H) ** 2 + H**2) ** (STEPS / 2), rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 2.0])
def test_one_consensus_step_is_the_field_and_gamma_times_its_pull(gamma: float) -> None:
    x, y = play(bilinear(3.0, -2.0), Consensus(gamma, "biased"), steps=1)
    assert x == pytest.approx(3.0 - H * (-2.0 + gamma * 3.0), rel=1e-12)
    assert y == pytest.approx(-2.0 - H * (-3.0 + gamma * -2.0), rel=1e-12)


@pytest.mark.parametrize("divergence", [minimax, non_saturating], ids=lambda d: d.name)
def test_the_pull_is_the_gradient_of_half_the_squared_field_by_differences(divergence: Divergence) -> None:
    def field(psi: float, theta: float) -> np.ndarray:
        moved = play(dirac(divergence, psi, theta), Simultaneous(), steps=1)
        return (np.array([psi, theta]) - moved) / H

    at, gamma, d = (0.7, -1.3), 1.7, 1e-5
    moved = play(dirac(divergence, *at), Consensus(gamma), steps=1)
    pull = ((np.array(at) - moved) / H - field(*at)) / gamma
    energy = [[(field(at[0] + a * s, at[1] + b * s) ** 2).sum() / 2 for s in (d, -d)] for a, b in ((1, 0), (0, 1))]
    assert pull == pytest.approx([(up - down) / (2 * d) for up, down in energy], rel=1e-6)


@pytest.mark.parametrize(
    "changed",
    [{"critic.norm": "layer"}, {"critic.minibatch_discrimination": True}, {"variant": "gan", "r2": 5.0},
     {"penalty_form": "one-sided"}, {"penalty_form": "zero-centred"}, {"penalty_form": "finite-difference"}],
    ids=str,
)  # fmt: skip
def test_the_pull_goes_through_the_points_at_which_slopes_are_penalised(changed: dict[str, Any]) -> None:
    """Of critics that bend, the field of the critic depends on the generator through these points too."""
    variant = changed.pop("variant", "wgan-gp")
    game = begin(configured(variant, **{"critic.norm": "layer", **changed}), data_of("points")).game
    for player in game.players.values():
        player.double()
    weights = [weight for player in game.players for weight in game.parameters(player)]
    drawn = torch.Generator().manual_seed(0)
    real, latent = (torch.randn(6, size, dtype=torch.float64, generator=drawn) for size in (2, 3))
    batch = Batch(real, latent, torch.rand(6, dtype=torch.float64, generator=drawn))
    way = [torch.randn(weight.shape, dtype=torch.float64, generator=drawn) for weight in weights]

    def energy() -> Tensor:
        field = [
            part
            for player in game.players
            for part in torch.autograd.grad(game.loss(player, batch)[0], game.parameters(player), create_graph=True)
        ]
        return 0.5 * torch.stack([part.square().sum() for part in field]).sum()

    pull = torch.autograd.grad(energy(), weights, materialize_grads=True)
    found = sum((part * along).sum().item() for part, along in zip(pull, way, strict=True))
    sides = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, along in zip(weights, way, strict=True):
                weight += sign * 1e-6 * along
        sides.append(energy().item())
    assert found == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-3)


@pytest.mark.parametrize("divergence", [minimax, non_saturating], ids=lambda d: d.name)
def test_consensus_converges_in_the_dirac_gan(divergence: Divergence) -> None:
    assert np.linalg.norm(play(dirac(divergence), Consensus(1.0))) < 1e-3


def noisy(a: float, b: float) -> Game:
    """A linear field (b, -a) seen through noise: v = (b, -a) + mean of the latents, of variance 1 each."""
    one, other = Coordinate(a), Coordinate(b)
    return Game(
        players={"a": one, "b": other},
        objective={
            "a": lambda batch: {"loss": one.at * (other.at + batch.latent[:, 0].mean())},
            "b": lambda batch: {"loss": other.at * (batch.latent[:, 1].mean() - one.at)},
        },
        turns=("a", "b"),
    )


def squares_of_field(estimator: str, n: int, draws: int) -> tuple[float, float]:
    """Mean and standard error of the estimate of ||E v||^2 over many batches of n."""
    game, rule = noisy(0.6, -0.4), Consensus(0.0, estimator)
    still, generator = descent(game, h=0.0), torch.Generator().manual_seed(5)

    def draw() -> Batch:
        latent = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return batch_of(latent, latent)

    values = np.array([rule.play_round(game, still, draw)["consensus/squared_field"].item() for _ in range(draws)])
    return values.mean(), values.std(ddof=1) / draws**0.5


@pytest.mark.parametrize("n", [8, 5])
def test_the_product_of_two_half_batches_is_the_squared_field_without_bias(n: int) -> None:
    mean, error = squares_of_field("unbiased", n, 400)
    assert abs(mean - 0.52) < 3 * error < 0.2


def test_the_square_of_a_minibatchs_field_is_too_large_by_its_variance() -> None:
    mean, error = squares_of_field("biased", 8, 300)
    # tr Cov / N: two coordinates of variance 1, 8 samples.
    assert abs(mean - (0.52 + 2 / 8)) < 3 * error
    assert 6 * error < 2 / 8, "otherwise the bias could not be seen"


def test_half_batches_share_no_sample_and_no_latent_and_lose_none() -> None:
    seen: list[Batch] = []
    game = bilinear()
    product = game.objective["x"]
    spy = {"x": lambda batch: seen.append(batch) or product(batch), "y": game.objective["y"]}
    batch = batch_of(torch.arange(5.0).view(5, 1), torch.arange(10.0, 15.0).view(5, 1))
    Consensus().play_round(Game(game.players, spy, game.turns), descent(game), lambda: batch)
    one, other = seen
    assert sorted([*one.real.flatten(), *other.real.flatten()]) == [*batch.real.flatten()]
    assert sorted([*one.latent.flatten(), *other.latent.flatten()]) == [*batch.latent.flatten()]


def test_a_batch_of_one_cannot_be_halved() -> None:
    game, single = bilinear(), batch_of(torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="needs at least 2 samples, got 1"):
        Consensus().play_round(game, descent(game), lambda: single)


def test_consensus_without_weight_is_simultaneous() -> None:
    assert play(dirac(minimax), Consensus(0.0), 50) == pytest.approx(
        play(dirac(minimax), Simultaneous(), 50), rel=1e-12
    )


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_a_pull_that_is_not_finite_shows_in_the_terms_before_it_is_saved(estimator: str) -> None:
    # |x|^1.5 at 0: the slope is 0, its own slope without bound.
    x, y = Coordinate(0.0), Coordinate(1.0)
    game = Game(
        players={"x": x, "y": y},
        objective={"x": lambda _: {"bend": x.at.abs() ** 1.5}, "y": lambda _: {"line": y.at.square()}},
        turns=("x", "y"),
    )
    means = Means()
    means.add(Consensus(1.0, estimator).play_round(game, descent(game), lambda: NOTHING))
    assert not x.at.isfinite()
    with pytest.raises(NonFiniteError, match="the term consensus/step_norm became nan"):
        means.take()
