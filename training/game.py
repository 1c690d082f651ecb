"""A GAN is a game: players, what each of them minimises, and the order in which they move.

N batch; the other axes are the data's: (T, V) for text, (C, H, W) for images, (D,) for points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from training.data.dataset import Dataset

Terms = dict[str, Tensor]
"""Named scalar terms; a player minimises their sum."""


@dataclass(frozen=True)
class Batch:
    """What one move is computed from, all that is random in its loss included but what networks draw themselves.

    real: (N, ...) samples of the data.  latent: (N, Z) from N(0, 1), or (N, Z + K) with the labels of real after it.
    mix: (N,), uniform on (0, 1), where between a real and a generated sample a penalty looks at the critic.
    round: (), the number of the round, from 0, for what changes in the course of a run.
    rank, ranks: which of how many equal parts it is of the batch that all ranks have together.
    """

    real: Tensor
    latent: Tensor
    mix: Tensor
    round: Tensor = field(default_factory=lambda: torch.zeros(()))
    rank: int = 0
    ranks: int = 1

    def rows(self, which: slice) -> Batch:
        """The batch of some of the samples."""
        return replace(self, real=self.real[which], latent=self.latent[which], mix=self.mix[which])


@dataclass(frozen=True)
class Game:
    """Who plays, what each player minimises, in which order they move.

    players: the module whose parameters each player moves.  objective: the named terms each player minimises.
    turns: the players of one round, in order.  project: what follows a player's move, such as weight clipping.
    turns_of: those of the round of a number, where they are not always the same.
    memory: what is kept of a run besides the players, in buffers: saved with it, and moved to its device.
    drawn: what batches are drawn of, made of the data, where that is not the data itself.
    Objectives never detach one player from another: which of them moves is the update rule's affair.
    """

    players: Mapping[str, nn.Module]
    objective: Mapping[str, Callable[[Batch], Terms]]
    turns: tuple[str, ...]
    project: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    turns_of: Callable[[int], tuple[str, ...]] | None = None
    memory: Mapping[str, nn.Module] = field(default_factory=dict)
    drawn: Callable[[Dataset], Dataset] | None = None

    def __post_init__(self) -> None:
        named = {*self.objective, *self.turns, *self.project}
        if set(self.objective) != set(self.players) or not named <= set(self.players):
            raise ValueError(f"players are {sorted(self.players)}, but objectives, turns and projections name {named}")

    def loss(self, player: str, batch: Batch) -> tuple[Tensor, Terms]:
        """The scalar that a player minimises on a batch, and its terms."""
        terms = self.objective[player](batch)
        return sum(terms.values(), start=batch.latent.new_zeros(())), terms

    def in_round(self, number: int) -> Game:
        """The game with the turns of the round of that number, from 0."""
        return self if self.turns_of is None else replace(self, turns=self.turns_of(number))

    def parameters(self, player: str) -> list[nn.Parameter]:
        """The parameters that a player moves."""
        return list(self.players[player].parameters())

    @contextmanager
    def only(self, player: str) -> Iterator[list[nn.Parameter]]:
        """Freeze every other player: no graph is recorded for them, which is what makes their part cheap.

        Afterwards each parameter is as free or frozen as it was.
        """
        others = [p for name in self.players if name != player for p in self.parameters(name) if p.requires_grad]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield self.parameters(player)
        finally:
            for parameter in others:
                parameter.requires_grad_(True)
