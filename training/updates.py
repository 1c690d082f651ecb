"""Update rules: how the players' losses become steps.  Each plays any game, with any optimiser.

v is the joint gradient field: every player's gradient of its own loss.  Only the alternating rule follows the game's
turns; under the others every player moves once in a round, whatever n_critic is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.game import Batch, Game, Terms

Optimizers = Mapping[str, Optimizer]
Draw = Callable[[], Batch]


class UpdateRule(Protocol):
    """Plays one round of a game and returns its terms, named ``player/term`` and ``gradient_norm/player``.

    A step that is not finite shows in one of the terms.  follows_turns: whether a round has the game's turns; otherwise
    every player moves once in it, on one batch.
    """

    @property
    def follows_turns(self) -> bool: ...
    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw) -> Terms: ...


@dataclass(frozen=True)
class Alternating:
    """One player after the other, in the order of the game's turns, each on a batch of its own."""

    follows_turns: ClassVar[bool] = True

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw) -> Terms:
        report = _Report()
        for player in game.turns:
            batch = draw()
            with game.only(player) as parameters:
                loss, terms = game.loss(player, batch)
                gradients = torch.autograd.grad(loss, parameters)
            _move(game, optimizers, player, gradients)
            report.add(player, terms, gradients)
        return report.means()


@dataclass(frozen=True)
class Simultaneous:
    """Every player steps once, all gradients taken at the same point: w - h v(w).  The game's turns are not asked."""

    follows_turns: ClassVar[bool] = False

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw) -> Terms:
        report = _Report()
        batch = draw()
        gradients = {}
        for player in game.players:
            with game.only(player) as parameters:
                loss, terms = game.loss(player, batch)
                gradients[player] = torch.autograd.grad(loss, parameters)
            report.add(player, terms, gradients[player])
        for player in game.players:
            _move(game, optimizers, player, gradients[player])
        return report.means()


@dataclass(frozen=True)
class Consensus:
    """w - h (v + gamma grad(1/2 ||v||^2)): the field, pulled towards where it vanishes.

    On minibatches the square of v must be estimated.  "biased" squares one minibatch's v, whose expectation
    exceeds the truth by tr Cov(v)/N; "unbiased" takes the inner product of v on two independent half batches,
    which may be negative and is not clamped.  Mescheder, Nowozin, Geiger 2017, "The numerics of GANs", Eq. 10.

    Every player steps once in a round; the game's turns are not asked.
    """

    follows_turns: ClassVar[bool] = False

    gamma: float = 1.0
    estimator: Literal["biased", "unbiased"] = "unbiased"

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw) -> Terms:
        report = _Report()
        halves = _halves(draw()) if self.estimator == "unbiased" else (draw(),)
        fields = [_field(game, batch, report) for batch in halves]
        parameters = [p for player in game.players for p in game.parameters(player)]
        product = torch.stack([(a * b).sum() for a, b in zip(fields[0], fields[-1], strict=True)]).sum()
        pull = torch.autograd.grad(0.5 * self.gamma * product, parameters, materialize_grads=True)
        with torch.no_grad():
            field = [sum(parts) / len(fields) for parts in zip(*fields, strict=True)]
            taken = steps = [v + r for v, r in zip(field, pull, strict=True)]
        for player in game.players:
            mine, steps = steps[: len(game.parameters(player))], steps[len(game.parameters(player)) :]
            _move(game, optimizers, player, mine)
        # Of the step itself: the pull may be without bound where every term and the field are finite.
        norm = nn.utils.get_total_norm(taken).float()
        return {**report.means(), "consensus/squared_field": product.detach(), "consensus/step_norm": norm}


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    middle = len(batch.latent) // 2
    if middle < 1:
        raise ValueError(
            f"the unbiased estimator halves a batch, so it needs at least 2 samples, got {len(batch.latent)}"
        )
    return (
        Batch(batch.real[:middle], batch.latent[:middle]),
        Batch(batch.real[middle:], batch.latent[middle:]),
    )


def _field(game: Game, batch: Batch, report: _Report) -> list[Tensor]:
    """V on a batch, differentiable in the parameters of all players."""
    field: list[Tensor] = []
    for player in game.players:
        loss, terms = game.loss(player, batch)
        gradients = torch.autograd.grad(loss, game.parameters(player), create_graph=True)
        report.add(player, terms, gradients)
        field += gradients
    return field


def _move(game: Game, optimizers: Optimizers, player: str, gradients: Sequence[Tensor]) -> None:
    for parameter, gradient in zip(game.parameters(player), gradients, strict=True):
        # Laid out as the parameter is: the fused optimisers walk both through memory in step and do not check it.
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
    optimizers[player].step()
    optimizers[player].zero_grad()
    if player in game.project:
        game.project[player]()


class _Report:
    """Collects the terms of a round and gives their means, without waiting for the device."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def add(self, player: str, terms: Terms, gradients: Sequence[Tensor]) -> None:
        named = {f"{player}/{name}": value for name, value in terms.items()}
        named[f"gradient_norm/{player}"] = nn.utils.get_total_norm([g.detach() for g in gradients])
        for name, value in named.items():
            self._values.setdefault(name, []).append(value.detach().float())

    def means(self) -> Terms:
        return {name: torch.stack(values).mean() for name, values in self._values.items()}
