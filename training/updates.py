"""Update rules: how the players' losses become steps.  Each plays any game, with any optimiser, on any number of ranks.

v is the joint gradient field: every player's gradient of its own loss.  Only the alternating rule follows the game's
turns; under the others every player moves once in a round, whatever n_critic is.

Where several ranks play one game, each has its part of the batch, and losses are means over samples: the mean of the
ranks' gradients is the gradient of the whole batch.  Of all that a rule knows only ``average``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.game import Batch, Game, Terms

Optimizers = Mapping[str, Optimizer]
Draw = Callable[[], Batch]
AverageOverRanks = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""The mean over all ranks of each of some tensors without a graph; every rank must ask for it, and gets the same."""


def alone(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The mean over the ranks of a job that has one."""
    return tensors


class UpdateRule(Protocol):
    """Plays one round of a game and returns its terms, named ``player/term`` and ``gradient_norm/player``.

    The terms are those of this rank's samples; norms, steps and products are those of all ranks.  A step that is not
    finite shows in one of the terms.  follows_turns: whether a round has the game's turns; otherwise every player moves
    once in it, on one batch.
    """

    @property
    def follows_turns(self) -> bool: ...
    def play_round(
        self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone
    ) -> Terms: ...


@dataclass(frozen=True)
class Alternating:
    """One player after the other, in the order of the game's turns, each on a batch of its own."""

    follows_turns: ClassVar[bool] = True

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        report = _Report()
        for player in game.turns:
            batch = draw()
            with game.only(player) as parameters:
                loss, terms = game.loss(player, batch)
                gradients = average(torch.autograd.grad(loss, parameters))
            _move(game, optimizers, player, gradients)
            report.add(player, terms, gradients)
        return report.means()


@dataclass(frozen=True)
class Simultaneous:
    """Every player steps once, all gradients taken at the same point: w - h v(w).  The game's turns are not asked."""

    follows_turns: ClassVar[bool] = False

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        report = _Report()
        batch = draw()
        terms: dict[str, Terms] = {}
        field: list[Tensor] = []
        for player in game.players:
            with game.only(player) as parameters:
                loss, terms[player] = game.loss(player, batch)
                field += torch.autograd.grad(loss, parameters)
        for player, gradients in _by_player(game, average(field)):
            _move(game, optimizers, player, gradients)
            report.add(player, terms[player], gradients)
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

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        report = _Report()
        batches = _halves(draw()) if self.estimator == "unbiased" else (draw(),)
        terms, mine = zip(*(_field(game, batch) for batch in batches), strict=True)
        means = average([v.detach() for field in mine for v in field])
        fields = [means[i : i + len(mine[0])] for i in range(0, len(means), len(mine[0]))]
        for of_players, field in zip(terms, fields, strict=True):
            for player, gradients in _by_player(game, field):
                report.add(player, of_players[player], gradients)
        # With V the mean of the ranks' v, grad <V_a, V_b> is the mean of grad (<v_a, V_b> + <V_a, v_b>), V held.
        half = 0.5 * self.gamma * (_product(mine[0], fields[-1]) + _product(fields[0], mine[-1]))
        parameters = [p for player in game.players for p in game.parameters(player)]
        pull = average(torch.autograd.grad(half, parameters, materialize_grads=True))
        field = [sum(parts) / len(fields) for parts in zip(*fields, strict=True)]
        steps = [v + r for v, r in zip(field, pull, strict=True)]
        for player, step in _by_player(game, steps):
            _move(game, optimizers, player, step)
        # Of the step itself: the pull may be without bound where every term and the field are finite.
        norm = nn.utils.get_total_norm(steps).float()
        return {
            **report.means(),
            "consensus/squared_field": _product(fields[0], fields[-1]),
            "consensus/step_norm": norm,
        }


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    """Every other sample, so that the halves of the ranks' parts are together the halves of the whole batch."""
    if len(batch.latent) < 2:
        raise ValueError(
            f"the unbiased estimator halves a batch, so it needs at least 2 samples, got {len(batch.latent)}"
        )
    return batch.rows(slice(0, None, 2)), batch.rows(slice(1, None, 2))


def _field(game: Game, batch: Batch) -> tuple[dict[str, Terms], list[Tensor]]:
    """Every player's terms on a batch, and v, differentiable in the parameters of all players."""
    terms: dict[str, Terms] = {}
    field: list[Tensor] = []
    for player in game.players:
        loss, terms[player] = game.loss(player, batch)
        field += torch.autograd.grad(loss, game.parameters(player), create_graph=True)
    return terms, field


def _product(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """The inner product of two fields."""
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()


def _by_player(game: Game, field: Sequence[Tensor]) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """What each player has of a list over the parameters of all."""
    rest = iter(field)
    for player in game.players:
        yield player, list(islice(rest, len(game.parameters(player))))


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
        named[f"gradient_norm/{player}"] = nn.utils.get_total_norm(gradients)
        for name, value in named.items():
            self._values.setdefault(name, []).append(value.detach().float())

    def means(self) -> Terms:
        return {name: torch.stack(values).mean() for name, values in self._values.items()}
