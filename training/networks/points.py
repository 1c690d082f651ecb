"""Fully connected networks for points in the plane or any small space.  D dimensions, Z latent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack, cast

from torch import Tensor, nn

from model.blocks import NORMS
from model.branches import Further, Heads
from training.layers import Layered, Marked


def hidden_layers(
    inputs: int, width: int, depth: int, norm: Callable[[int], nn.Module] | None = None
) -> list[nn.Module]:
    """``depth`` linear layers, each followed by a norm of so many channels, if any, and a ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), *([norm(width)] if norm else []), nn.ReLU()]
        inputs = width
    return layers


class Generator(Marked):
    """Latents (N, Z + K) to points (N, D).  Several generators share all hidden layers but the last.

    With labels, to what a critic takes, (N, D + K): the point and the label that it was asked to be of.
    """

    def __init__(
        self,
        *,
        dimensions: int,
        width: int,
        depth: int,
        latent: int,
        **further: Unpack[Further],
    ) -> None:
        """further: as for ``Branched``."""
        super().__init__(latent=latent, **further)
        heads, norm, shared = self.heads, self.norm(None), depth - bool(self.heads)
        inputs = width if shared else self.inputs
        self.layers = nn.Sequential(*hidden_layers(self.inputs, width, shared, norm))
        own = (
            nn.Sequential(*hidden_layers(inputs, width, 1, norm), nn.Linear(width, dimensions)) for _ in range(heads)
        )
        self.output = Heads(own) if heads else nn.Linear(width, dimensions)

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared layers give, (N, width)."""
        return cast(Tensor, self.layers(latent))


class Critic(Layered):
    """Points (N, D + K) to a score (N,), or to logits (N, outputs)."""

    def __init__(
        self, *, dimensions: int, width: int, depth: int, norm: str = "none", outputs: int = 0, labels: int = 0
    ) -> None:
        """norm: of every hidden layer, one of NORMS or none."""
        hidden = hidden_layers(dimensions + labels, width, depth, NORMS.get(norm))
        super().__init__(*hidden, nn.Linear(width, outputs or 1), outputs=outputs, labels=labels)
