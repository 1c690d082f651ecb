"""What a round changes, copied, written back and compared: to try a round and undo it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from training.loop import Training

State = dict[str, list[Tensor]]
"""Copies of tensors, by what they belong to."""


def snapshot(training: Training) -> State:
    """A copy of every tensor that a round changes."""
    return {name: [tensor.clone() for tensor in tensors] for name, tensors in _changing(training).items()}


@torch.no_grad()
def restore(training: Training, state: State) -> None:
    """Write a snapshot back, every tensor at its place; what has come since is of an optimiser, and begins at 0."""
    for name, tensors in _changing(training).items():
        for i, tensor in enumerate(tensors):
            tensor.copy_(state[name][i]) if name in state else tensor.zero_()


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


def _changing(training: Training) -> State:
    """Every tensor that a round changes, by what it belongs to."""
    modules = {**training.game.players, "the average": training.average.module}
    state = {name: [t.detach() for t in (*each.parameters(), *each.buffers())] for name, each in modules.items()}
    for name, optimizer in training.optimizers.items():
        for key, tensor in tensors_of(optimizer):
            state.setdefault(f"{key} of {name}", []).append(tensor)
    return state


def tensors_of(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an optimiser's state, each with its key."""
    for held in optimizer.state.values():
        yield from ((key, value) for key, value in held.items() if isinstance(value, Tensor))
