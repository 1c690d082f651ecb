"""What every update rule is made of: the field at a point, the moves along it, and the report of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

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
    once in it.
    """

    @property
    def follows_turns(self) -> bool: ...
    def batches(self, game: Game) -> int:
        """How many batches a round draws."""
        ...

    def play_round(
        self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone
    ) -> Terms: ...


def field(game: Game, batch: Batch, average: AverageOverRanks) -> tuple[dict[str, Terms], Sequence[Tensor]]:
    """Every player's terms on a batch, and v where they stand, of all ranks."""
    terms: dict[str, Terms] = {}
    v: list[Tensor] = []
    for player in game.players:
        with game.only(player) as parameters:
            loss, terms[player] = game.loss(player, batch)
            v += torch.autograd.grad(loss, parameters)
    return terms, average(v)


def by_player(game: Game, v: Sequence[Tensor]) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """What each player has of a list over the parameters of all."""
    rest = iter(v)
    for player in game.players:
        yield player, list(islice(rest, len(game.parameters(player))))


def move(game: Game, optimizers: Optimizers, player: str, gradients: Sequence[Tensor]) -> None:
    """One step of a player's optimiser with these gradients, and the projection that follows it."""
    for parameter, gradient in zip(game.parameters(player), gradients, strict=True):
        # Laid out as the parameter is: the fused optimisers walk both through memory in step and do not check it.
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
    optimizers[player].step()
    optimizers[player].zero_grad()
    if player in game.project:
        game.project[player]()


def move_all(game: Game, optimizers: Optimizers, v: Sequence[Tensor]) -> None:
    """One step of every player along a field."""
    for player, gradients in by_player(game, v):
        move(game, optimizers, player, gradients)


class Report:
    """Collects the terms of a round and gives their means, without waiting for the device."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def add(self, player: str, terms: Terms, gradients: Sequence[Tensor]) -> None:
        """The terms of a player, and the norm of its gradient."""
        named = {f"{player}/{name}": value for name, value in terms.items()}
        named[f"gradient_norm/{player}"] = nn.utils.get_total_norm(gradients)
        for name, value in named.items():
            self._values.setdefault(name, []).append(value.detach().float())

    def add_all(self, game: Game, terms: Mapping[str, Terms], v: Sequence[Tensor]) -> Report:
        """The terms of every player, and the norms of their parts of a field; returns itself."""
        for player, gradients in by_player(game, v):
            self.add(player, terms[player], gradients)
        return self

    def means(self) -> Terms:
        """The mean of all values of a name."""
        return {name: torch.stack(values).mean() for name, values in self._values.items()}
