"""What a round changes, copied, written back and compared: to try a round, or a step, and undo it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.game import Game

if TYPE_CHECKING:
    from training.loop import Training

State = dict[str, list[Tensor]]
"""Copies of tensors, by what they belong to."""


def snapshot(training: Training) -> State:
    """A copy of every tensor that a round changes."""
    return _copies(_of_training(training))


def restore(training: Training, state: State) -> None:
    """Write a snapshot back, every tensor at its place; what has come since is of an optimiser, and begins at 0."""
    _write(_of_training(training), state)


@contextmanager
def undone(game: Game, optimizers: Mapping[str, Optimizer]) -> Iterator[None]:
    """What the block changes of the game and its optimisers is as it was after it, every tensor at its place.

    An optimiser that has begun in the block begins anew.
    """
    before, begun = _copies(_of_moves(game, optimizers)), {name: set(each.state) for name, each in optimizers.items()}
    try:
        yield
    finally:
        for name, optimizer in optimizers.items():
            for parameter in set(optimizer.state) - begun[name]:
                del optimizer.state[parameter]
        _write(_of_moves(game, optimizers), before)


def furthest(expected: State, found: State, start: State) -> tuple[str, float]:
    """Where two states lie furthest apart, and how far, in parts of the way from the start to the expected one."""

    def apart(name: str) -> float:
        way = _norm(expected[name], start.get(name))
        return _norm(expected[name], found[name]) / way if way else float(_norm(expected[name], found[name]) > 0)

    distances = {name: apart(name) for name in expected}
    # NaN first, which compares with nothing.
    name = max(distances, key=lambda key: (distances[key] != distances[key], distances[key]))
    return name, distances[name]


def _norm(one: list[Tensor], other: list[Tensor] | None) -> float:
    """The length of the difference of two lists of tensors; None stands for zeros."""
    parts = [a.double() if other is None else a.double() - other[i].double() for i, a in enumerate(one)]
    return torch.stack([part.norm() for part in parts]).norm().item() if parts else 0.0


def _copies(tensors: State) -> State:
    return {name: [tensor.clone() for tensor in each] for name, each in tensors.items()}


@torch.no_grad()
def _write(there: State, state: State) -> None:
    for name, tensors in there.items():
        for i, tensor in enumerate(tensors):
            tensor.copy_(state[name][i]) if name in state else tensor.zero_()


def _of_training(training: Training) -> State:
    """Every tensor that a round changes, by what it belongs to."""
    moved = _of_moves(training.game, training.optimizers)
    return {**moved, "the average": _of_module(training.average.module)}


def _of_moves(game: Game, optimizers: Mapping[str, Optimizer]) -> State:
    """Every tensor that players' moves change, by what it belongs to."""
    state = {name: _of_module(module) for name, module in {**game.players, **game.memory}.items()}
    for name, optimizer in optimizers.items():
        for key, tensor in tensors_of(optimizer):
            state.setdefault(f"{key} of {name}", []).append(tensor)
    return state


def _of_module(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]


def tensors_of(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an optimiser's state, each with its key."""
    for held in optimizer.state.values():
        yield from ((key, value) for key, value in held.items() if isinstance(value, Tensor))
