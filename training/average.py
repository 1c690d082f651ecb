"""An exponential moving average of a network, which is what is evaluated, exported and served."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """Follows a module: a <- decay * a + (1 - decay) * w, over weights and floating buffers; counters are copied.

    While few rounds have passed the decay is (1 + t) / (10 + t), so that the random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay
        self._followed = list(_tensors(module))
        self._own = list(_tensors(self.module))

    def update(self, rounds: int) -> None:
        """Follow the module after its round number ``rounds``, counted from 0."""
        self.follow(self.share(rounds))

    def share(self, rounds: int) -> float:
        """What the module's own weights count for after its round number ``rounds``: 1 - decay."""
        return 1 - min(self.decay, (1 + rounds) / (10 + rounds))

    @torch.no_grad()
    def follow(self, share: float | Tensor) -> None:
        """Go the given share of the way to the module; a scalar on the module's device is read there and not here."""
        pairs = list(zip(self._own, self._followed, strict=True))
        floating = [(a, w) for a, w in pairs if a.is_floating_point()]
        weight = [share.to(a.dtype) for a, _ in floating] if isinstance(share, Tensor) else share
        torch._foreach_lerp_([a for a, _ in floating], [w for _, w in floating], weight)
        for a, w in pairs:
            if not a.is_floating_point():
                a.copy_(w)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
