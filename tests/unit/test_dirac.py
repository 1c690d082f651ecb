"""The Dirac-GAN, 500 simultaneous steps of 0.1 from slope -1 and point 1: who converges, and how near.

The expected places are worked out apart, from the fields by hand.  Mescheder, Geiger, Nowozin 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from small_games import STEPS, Coordinate, H, Slope, dirac, play
from torch import Tensor, nn
from torch.special import ndtri

from training.divergences import Divergence, minimax, non_saturating, wasserstein
from training.game import Batch, Game
from training.games.two_player import two_player
from training.penalties import clip_weights, gradient_penalty, r1
from training.updates import Consensus, Simultaneous, UpdateRule

START = (-1.0, 1.0)
SLOPE = 0.3  # that WGAN-GP asks for: at 1 its steps never leave a distance above 1
NOISE = ndtri((torch.arange(400, dtype=torch.float64) + 0.5) / 400).unsqueeze(1)  # the quantiles of N(0, 1)
SILENT = Batch(*torch.zeros(2, 400, 1, dtype=torch.float64), torch.full((400,), 0.5, dtype=torch.float64))

Field = Callable[[float, float], tuple[float, float]]


def sigma(t: float) -> float:
    return 1 / (1 + float(np.exp(-t)))


def of_minimax(psi: float, theta: float) -> tuple[float, float]:
    return sigma(psi * theta) * theta, -sigma(psi * theta) * psi


def of_non_saturating(psi: float, theta: float) -> tuple[float, float]:
    return sigma(psi * theta) * theta, -sigma(-psi * theta) * psi


def of_wasserstein(psi: float, theta: float) -> tuple[float, float]:
    return theta, -psi


def pulled(psi: float, theta: float) -> tuple[float, float]:
    """Consensus of the minimax game, gamma = 1: v + J^T v, J by hand."""
    t = psi * theta
    v, s, slope = of_minimax(psi, theta), sigma(t), sigma(t) * sigma(-t)
    cross = s + t * slope
    return v[0] + theta**2 * slope * v[0] - cross * v[1], v[1] + cross * v[0] - psi**2 * slope * v[1]


def walk(field: Field, clip: float = np.inf) -> np.ndarray:
    psi, theta = START
    for _ in range(STEPS):
        of_critic, of_generator = field(psi, theta)
        psi, theta = float(np.clip(psi - H * of_critic, -clip, clip)), theta - H * of_generator
    return np.array([psi, theta])


def end(game: Game, rule: UpdateRule | None = None) -> np.ndarray:
    return play(game, rule or Simultaneous(), draw=lambda: SILENT)


def penalised() -> Game:
    def penalty(critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
        # 1/2 (|psi| - 0.3)^2.
        return gradient_penalty(lambda x: critic(x) / SLOPE, real, fake, mix, weight=0.5 * SLOPE**2)

    return dirac(wasserstein, *START, critic_terms={"gradient_penalty": penalty})


def clipped() -> Game:
    critic = Slope(START[0])
    return two_player(Coordinate(START[1]), critic, wasserstein, project=clip_weights(critic, 1.0))


def regularised() -> Game:
    return dirac(non_saturating, *START, critic_terms={"r1": partial(r1, weight=1.0)})


@pytest.mark.parametrize(
    ("divergence", "field", "distance"),
    [
        (minimax, of_minimax, 2.25),
        (non_saturating, of_non_saturating, 0.521),
        (wasserstein, of_wasserstein, 17.0),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_without_a_constraint_simultaneous_steps_do_not_converge(
    divergence: Divergence, field: Field, distance: float
) -> None:
    found = end(dirac(divergence, *START))
    assert found == pytest.approx(walk(field), rel=1e-8)
    assert np.linalg.norm(found) == pytest.approx(distance, rel=5e-3)


def test_a_clipped_critic_keeps_the_generator_going_round() -> None:
    found = end(clipped())
    assert found == pytest.approx(walk(of_wasserstein, clip=1.0), rel=1e-8)
    assert np.linalg.norm(found) == pytest.approx(1.05, abs=5e-3)


def test_a_gradient_penalty_keeps_it_going_round_too() -> None:
    found = end(penalised())
    assert found == pytest.approx(walk(lambda p, t: (t + (abs(p) - SLOPE) * np.sign(p), -p)), rel=1e-6)
    assert np.linalg.norm(found) == pytest.approx(0.388, abs=5e-3)


def test_r1_converges() -> None:
    def field(psi: float, theta: float) -> tuple[float, float]:
        of_critic, of_generator = of_non_saturating(psi, theta)
        return of_critic + psi, of_generator

    found = end(regularised())
    assert found == pytest.approx(walk(field), rel=1e-4)
    assert np.linalg.norm(found) == pytest.approx(8.3e-12, rel=0.01)


def test_instance_noise_converges() -> None:
    found = end(dirac(minimax, *START, see=lambda samples, batch: samples + NOISE))
    assert np.linalg.norm(found) == pytest.approx(8.3e-6, rel=0.1)


def test_consensus_converges() -> None:
    found = end(dirac(minimax, *START), Consensus(1.0))
    assert found == pytest.approx(walk(pulled), rel=1e-4)
    assert np.linalg.norm(found) == pytest.approx(1.4e-5, rel=0.05)


def test_a_factor_of_a_half_on_the_cross_term_would_be_seen() -> None:
    psi, theta = 0.7, 1.3
    game = dirac(minimax, psi, theta)
    moved = (np.array([psi, theta]) - play(game, Consensus(1.0), steps=1)) / H
    v, whole = np.array(of_minimax(psi, theta)), np.array(pulled(psi, theta))
    assert moved == pytest.approx(whole, rel=1e-9)
    cross = sigma(psi * theta) + psi * theta * sigma(psi * theta) * sigma(-psi * theta)
    halved = whole - 0.5 * np.array([-cross * v[1], cross * v[0]])
    assert np.abs(moved - halved).min() > 0.05
