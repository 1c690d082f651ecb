"""Rules that need first derivatives alone: who steps when, and along the field of which point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from training.game import Game, Terms
from training.snapshot import undone
from training.updates.moves import AverageOverRanks, Draw, Optimizers, Report, alone, by_player, field, move, move_all

LAST, KNOWN = "last_gradient", "last_gradient_known"


@dataclass(frozen=True)
class Alternating:
    """One player after the other, in the order of the game's turns, each on a batch of its own."""

    follows_turns: ClassVar[bool] = True

    def batches(self, game: Game) -> int:
        return len(game.turns)

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        report = Report()
        for player in game.turns:
            batch = draw()
            with game.only(player) as parameters:
                loss, terms = game.loss(player, batch)
                gradients = average(torch.autograd.grad(loss, parameters))
            move(game, optimizers, player, gradients)
            report.add(player, terms, gradients)
        return report.means()


@dataclass(frozen=True)
class Simultaneous:
    """Every player steps once, all gradients taken at the same point: w - h v(w).  The game's turns are not asked."""

    follows_turns: ClassVar[bool] = False

    def batches(self, game: Game) -> int:
        return 1

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        terms, v = field(game, draw(), average)
        move_all(game, optimizers, v)
        return Report().add_all(game, terms, v).means()


@dataclass(frozen=True)
class Extragradient:
    """w - h v(w - h v(w)): every player looks where all of them are going, and steps from w by the field there.

    Both are steps of the optimiser, with the projections that follow a move; between them weights, buffers and the
    optimiser's state are as they were.  Each has a batch of its own: on one batch the second step would be taken by
    the noise that the first has just followed, and would not be an estimate of v at a given point.  Terms and norms are
    those of the second.  Korpelevich 1976; Gidel et al. 2019, "A variational inequality perspective on GANs",
    section 3.1 and Algorithm 2.

    With Adam the half step is one of Adam's, and of its size, whatever the length of v.  A departure: in their
    Extra-Adam (Algorithm 4) the moments take in both gradients, here they take in the second alone.
    """

    follows_turns: ClassVar[bool] = False

    def batches(self, game: Game) -> int:
        return 2

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        with undone(game, optimizers):
            _, v = field(game, draw(), average)
            move_all(game, optimizers, v)
            terms, v = field(game, draw(), average)
        move_all(game, optimizers, v)
        return Report().add_all(game, terms, v).means()


@dataclass(frozen=True)
class Optimistic:
    """w - h (2 v_t - v_(t-1)): as if the field changed once more as it has just done.  The first step is a plain one.

    The field of the round before lies in the optimiser's state, of each parameter its own part.  Norms are those of
    v_t.  Daskalakis et al. 2018, "Training GANs with optimism", Eq. 7.

    Any optimiser takes 2 v_t - v_(t-1) for its gradient.  A departure: their Optimistic Adam (Algorithm 1) combines
    Adam's steps so, and not the gradients, which with plain gradient steps is the same.
    """

    follows_turns: ClassVar[bool] = False

    def batches(self, game: Game) -> int:
        return 1

    def play_round(self, game: Game, optimizers: Optimizers, draw: Draw, average: AverageOverRanks = alone) -> Terms:
        terms, v = field(game, draw(), average)
        for player, gradients in by_player(game, v):
            move(game, optimizers, player, _foreseen(game, optimizers[player], player, gradients))
            _remember(game, optimizers[player], player, gradients)
        return Report().add_all(game, terms, v).means()


def _foreseen(game: Game, optimizer: Optimizer, player: str, gradients: Sequence[Tensor]) -> list[Tensor]:
    """2 v_t - v_(t-1) of a player, or v_t where nothing is remembered.

    A state of zeros remembers nothing either: a round that is tried and undone leaves one behind.
    """
    states = [optimizer.state.get(parameter, {}) for parameter in game.parameters(player)]
    return [
        v + held[KNOWN] * (v - held[LAST]) if LAST in held else v for v, held in zip(gradients, states, strict=True)
    ]


def _remember(game: Game, optimizer: Optimizer, player: str, gradients: Sequence[Tensor]) -> None:
    """Keep v_t for the next round; only after a step, since optimisers begin where a parameter has no state yet."""
    for parameter, v in zip(game.parameters(player), gradients, strict=True):
        held = optimizer.state[parameter]
        if LAST not in held:
            held[LAST], held[KNOWN] = torch.zeros_like(parameter), parameter.new_zeros(())
        # Where they are, which a CUDA graph holds.
        held[LAST].copy_(v)
        held[KNOWN].fill_(1)
