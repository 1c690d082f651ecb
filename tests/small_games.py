"""Games of two numbers, whose every step is known, bilinear and Dirac-GAN; and a critic that is watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from training.divergences import Divergence
from training.game import Batch, Game
from training.games.two_player import two_player
from training.updates import UpdateRule

H, STEPS = 0.1, 500


def batch_of(real: Tensor, latent: Tensor) -> Batch:
    return Batch(real, latent, torch.zeros(len(real)))


NOTHING = batch_of(torch.zeros(2, 1), torch.zeros(2, 1))


class Coordinate(nn.Module):
    """One number that a player moves."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return self.at.expand(len(latent), 1)


class Slope(Coordinate):
    """The critic psi * x."""

    def forward(self, x: Tensor) -> Tensor:
        return self.at * x[:, 0]


def bilinear(x: float = 1.0, y: float = 1.0) -> Game:
    """min over x, max over y of x * y."""
    one, other = Coordinate(x), Coordinate(y)
    return Game(
        players={"x": one, "y": other},
        objective={"x": lambda _: {"product": one.at * other.at}, "y": lambda _: {"product": -one.at * other.at}},
        turns=("x", "y"),
    )


def linear(field: np.ndarray, x: float = 1.0, y: float = 1.0) -> Game:
    """The game whose field at w = (x, y) is a matrix (2, 2) times w."""
    one, other = Coordinate(x), Coordinate(y)
    (a, b), (c, d) = field.tolist()
    return Game(
        players={"x": one, "y": other},
        objective={
            "x": lambda _: {"loss": a * one.at.square() / 2 + b * one.at * other.at},
            "y": lambda _: {"loss": c * one.at * other.at + d * other.at.square() / 2},
        },
        turns=("x", "y"),
    )


def dirac(divergence: Divergence, psi: float = 1.0, theta: float = 1.0, **options: Any) -> Game:
    """Data is the point 0, the generator the point theta, the critic the line psi * x.  Mescheder et al. 2018.

    options: as for ``two_player``.
    """
    return two_player(Coordinate(theta), Slope(psi), divergence, **options)


def descent(game: Game, h: float = H) -> dict[str, SGD]:
    return {name: SGD(game.parameters(name), lr=h) for name in game.players}


def position(game: Game) -> np.ndarray:
    return np.array([p.detach().item() for name in game.players for p in game.parameters(name)])


def play(game: Game, rule: UpdateRule, steps: int = STEPS, draw: Callable[[], Batch] = lambda: NOTHING) -> np.ndarray:
    optimizers = descent(game)
    for _ in range(steps):
        rule.play_round(game, optimizers, draw)
    return position(game)


class Watched(nn.Module):
    """Scores by the sum, and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def forward(self, samples: Tensor) -> Tensor:
        self.seen.append(samples.detach())
        return self.weight * samples.flatten(1).sum(dim=1)
