"""Games of two numbers, in which every step of every rule can be worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from training.divergences import Divergence
from training.game import Batch, Game
from training.games.two_player import two_player
from training.updates import UpdateRule

H, STEPS = 0.1, 500  # the step size and the number of steps of every trajectory
COUPLING = 0.5
SAMPLES = 32  # of which all that is random is the noise that a critic may be shown: the quantiles of N(0, 1)
_ZEROS = torch.zeros(SAMPLES, 1, dtype=torch.float64)
ORIGIN = Batch(_ZEROS, _ZEROS, torch.full((SAMPLES,), 0.5, dtype=torch.float64))
NOISE = torch.special.ndtri((torch.arange(SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES).unsqueeze(1)


class Coordinate(nn.Module):
    """One number, which a player moves; as a generator it makes that point of every latent, (N, 1)."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return self.at.expand(len(latent), 1)


class Line(Coordinate):
    """The critic psi x of points (N, 1), (N,)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.at * x[:, 0]


def bilinear(x: float, y: float) -> Game:
    """Min over x, max over y of x y.  The field (y, -x) only turns: an equilibrium that no step comes nearer to."""
    one, other = Coordinate(x), Coordinate(y)
    return Game(
        players={"x": one, "y": other},
        objective={"x": lambda _: {"product": one.at * other.at}, "y": lambda _: {"product": -one.at * other.at}},
        turns=("x", "y"),
    )


def saddle(x: float, y: float) -> Game:
    """Min over x, max over y of x^4 / 4 - x^2 / 2 + c x y - y^2 / 2, c = 1/2.

    The field vanishes at x = +-sqrt(1 - c^2), where x is content, and at 0, where x stands on top of its own loss.
    """
    one, other = Coordinate(x), Coordinate(y)

    def value() -> Tensor:
        return one.at**4 / 4 - one.at**2 / 2 + COUPLING * one.at * other.at - other.at**2 / 2

    return Game(
        players={"x": one, "y": other},
        objective={"x": lambda _: {"value": value()}, "y": lambda _: {"value": -value()}},
        turns=("x", "y"),
    )


def dirac(divergence: Divergence, theta: float = 1.0, psi: float = 1.0, **options: Any) -> Game:
    """Data is the point 0, the generator the point theta, the critic the line psi x.  Mescheder et al. 2018.

    options: as for ``two_player``.
    """
    return two_player(Coordinate(theta), Line(psi), divergence, **options)


def descent(game: Game, h: float = H, momentum: float = 0.0) -> dict[str, Optimizer]:
    """Plain gradient steps for every player."""
    return {name: SGD(game.parameters(name), lr=h, momentum=momentum) for name in game.players}


def position(game: Game) -> NDArray[np.float64]:
    """The numbers of all players, in the game's order."""
    return np.array([p.detach().item() for name in game.players for p in game.parameters(name)])


def path(game: Game, rule: UpdateRule, steps: int = STEPS, momentum: float = 0.0) -> NDArray[np.float64]:
    """Where the players stand before the first round of a rule and after each, (steps + 1, 2)."""
    optimizers, places = descent(game, momentum=momentum), [position(game)]
    for _ in range(steps):
        rule.play_round(game, optimizers, lambda: ORIGIN)
        places.append(position(game))
    return np.array(places)


def away(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance from the equilibrium, 0, at each place of a path (steps + 1, 2)."""
    distances: NDArray[np.float64] = np.linalg.norm(path, axis=1)
    return distances
