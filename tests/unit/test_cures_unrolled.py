"""A generator that looks through the critic's next steps: its gradient by hand, and nothing that it leaves behind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_games import NOTHING, H, batch_of, bilinear, descent, dirac, play, position
from small_runs import configured
from torch import Tensor, nn

from model.errors import ConfigurationError
from training.catalogue.playing import slope_terms
from training.cures import cured, unroll
from training.divergences import Divergence, minimax, wasserstein
from training.game import Batch, Game
from training.games.two_player import two_player
from training.networks.roles import Roles
from training.updates import Alternating, Consensus, Simultaneous

LR = 0.3


def generators_gradient(game: Game, batch: Batch = NOTHING) -> list[Tensor]:
    with game.only("generator") as parameters:
        loss, _ = game.loss("generator", batch)
        return list(torch.autograd.grad(loss, parameters))


def sigma(u: float) -> float:
    return 1 / (1 + math.exp(-u))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_on_the_bilinear_game_each_step_ahead_damps_the_generator(steps: int) -> None:
    # The critic minimises psi theta, so that psi_k = psi - k lr theta, and the generator -psi_k theta.
    (gradient,) = generators_gradient(unroll(dirac(wasserstein, 0.7, -1.3), steps, LR))
    assert gradient.item() == pytest.approx(-0.7 + 2 * steps * LR * -1.3, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_on_the_dirac_gan_the_gradient_is_that_by_the_chain_rule(steps: int) -> None:
    psi, theta = 0.7, -1.3
    moved, its_derivative = psi, 0.0
    for _ in range(steps):
        # psi <- psi - lr theta sigma(psi theta), and the derivative of that in theta.
        s = sigma(moved * theta)
        by_theta = s + theta * s * (1 - s) * (moved + theta * its_derivative)
        moved, its_derivative = moved - LR * theta * s, its_derivative - LR * by_theta
    expected = -sigma(moved * theta) * (moved + theta * its_derivative)
    (gradient,) = generators_gradient(unroll(dirac(minimax, psi, theta), steps, LR))
    assert gradient.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("divergence", [wasserstein, minimax], ids=lambda d: d.name)
def test_a_generator_that_makes_the_data_is_left_alone_wherever_the_data_lies(divergence: Divergence) -> None:
    # The generator's own loss at the critic ahead would pull it off: -psi_k theta has the slope k lr theta at psi = 0.
    there = batch_of(torch.full((2, 1), 3.0, dtype=torch.float64), torch.zeros(2, 1))
    (gradient,) = generators_gradient(unroll(dirac(divergence, 0.0, 3.0), 2, LR), there)
    assert gradient.item() == pytest.approx(0, abs=1e-12)


def test_no_step_ahead_is_the_game_itself() -> None:
    plain = play(dirac(minimax, 0.7, -1.3), Alternating(), 20)
    assert play(unroll(dirac(minimax, 0.7, -1.3), 0, LR), Alternating(), 20) == pytest.approx(plain, abs=0)


def test_simultaneous_steps_spiral_out_of_the_dirac_wgan_and_with_one_step_ahead_into_it() -> None:
    assert np.linalg.norm(play(dirac(wasserstein), Simultaneous())) > 17
    assert np.linalg.norm(play(unroll(dirac(wasserstein), 1, LR), Simultaneous())) < 1e-3


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_consensus_differentiates_through_the_steps_ahead(estimator: str) -> None:
    psi, theta, steps, gamma = 0.7, -1.3, 2, 0.4
    a = 2 * steps * LR
    # v = (theta, a theta - psi), and the gradient of half its square.
    field = np.array([theta, a * theta - psi])
    pull = np.array([psi - a * theta, theta + a * (a * theta - psi)])
    moved = play(unroll(dirac(wasserstein, psi, theta), steps, LR), Consensus(gamma, estimator), steps=1)
    assert moved == pytest.approx(np.array([psi, theta]) - H * (field + gamma * pull), rel=1e-12)


def test_the_critic_moves_as_it_does_without() -> None:
    moved = [play(game, Simultaneous(), 1) for game in (dirac(minimax), unroll(dirac(minimax), 3, LR))]
    assert moved[0][0] == moved[1][0]
    assert moved[0][1] != moved[1][1]


def test_looking_ahead_moves_nothing_and_frees_nothing() -> None:
    game = unroll(dirac(minimax, 0.7, -1.3), 3, LR)
    (psi,) = game.parameters("critic")
    with game.only("generator"):
        game.loss("generator", NOTHING)
        assert not psi.requires_grad
    assert psi.requires_grad
    assert psi.grad is None
    assert list(position(game)) == [0.7, -1.3]


class Counting(nn.Module):
    """A critic with batch norm, which counts in buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.squeeze(self.layers(x), 1)


def counting_game() -> Game:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    return two_player(generator, Counting(), minimax, apart=True)


def test_batch_norm_counts_no_step_ahead() -> None:
    torch.manual_seed(1)
    batch = batch_of(torch.randn(6, 2), torch.randn(6, 3))
    plain, ahead = counting_game(), counting_game()
    before = {name: buffer.clone() for name, buffer in ahead.players["critic"].named_buffers()}
    plain.loss("generator", batch)
    unroll(ahead, 3, LR).loss("generator", batch)
    for name, buffer in ahead.players["critic"].named_buffers():
        assert torch.equal(buffer, before[name])
    for one, other in zip(plain.players["generator"].buffers(), ahead.players["generator"].buffers(), strict=True):
        assert torch.equal(one, other), "the generator makes its samples once"


@pytest.mark.parametrize("changed", [{"feature_matching": True}, {"variant": "mad-gan"}, {"variant": "mad-gan-sim"}])
def test_a_generators_loss_that_is_wanted_is_not_replaced(changed: dict[str, Any]) -> None:
    config = configured().model_copy(update={"unrolled": 1, **changed})
    with pytest.raises(ConfigurationError, match=r"take.* the place of the generator's loss"):
        cured(dirac(minimax), config)


def unrolled(kind: str, shape: tuple[int, ...], divergence: Divergence, steps: int, norm: str = "none") -> Game:
    torch.manual_seed(0)
    config = configured(**{"critic.norm": norm})
    roles = Roles(kind, shape, config)
    game = two_player(roles.generator(), roles.critic(), divergence, critic_terms=slope_terms(config))
    for player in game.players.values():
        player.double()
    return unroll(game, steps, 0.02)


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(("kind", "shape"), [("text", (5, 6)), ("points", (2,)), ("image", (1, 8, 8))])
def test_on_every_kind_of_data_the_gradient_is_that_by_differences(
    kind: str, shape: tuple[int, ...], norm: str
) -> None:
    """Of a critic that bends too, whose penalty depends on the generator through the points that it is taken at."""
    game = unrolled(kind, shape, minimax, 2, norm)
    real, latent = torch.randn(4, *shape).tanh().double(), torch.randn(4, 3).double()
    batch = Batch(real, latent, torch.rand(4).double())
    weight = next(p for p in reversed(game.parameters("generator")))
    gradient = generators_gradient(game, batch)[-1].flatten()[0].item()
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.view(-1)[0] += sign * 1e-7
        losses.append(game.loss("generator", batch)[0].item())
        with torch.no_grad():
            weight.view(-1)[0] -= sign * 1e-7
    by_differences = (losses[0] - losses[1]) / 2e-7
    plain = generators_gradient(unrolled(kind, shape, minimax, 0, norm), batch)[-1].flatten()[0].item()
    assert gradient == pytest.approx(by_differences, rel=1e-4)
    assert abs(plain - gradient) > 1e-3 * abs(plain), "otherwise nothing is looked ahead"


def test_a_game_without_a_critic_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unrolled needs the players generator and critic, this game has x, y"):
        unroll(bilinear(), 1, LR)
    assert descent(bilinear()), "which is a game all the same"
