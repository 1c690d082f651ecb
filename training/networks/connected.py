"""A fully connected generator of images, as in Gulrajani et al. 2017, Figure 2.

C channels, S side, Z latent, W width.
"""

from __future__ import annotations

from typing import Unpack, cast

from torch import Tensor, nn

from model.branches import Further, Heads
from training.layers import Marked
from training.networks.points import hidden_layers

DEPTH, WIDER = 4, 8  # hidden layers, and their width in W: 512 at a W of 64, as in the paper


class Generator(Marked):
    """Latents (N, Z + K) to images (N, C, S, S) in [-1, 1], with the labels after them where there are any.

    Several generators share all layers but the last.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        width: int,
        latent: int,
        **further: Unpack[Further],
    ) -> None:
        """further: as for ``Branched``."""
        super().__init__(latent=latent, **further)
        channels, height, side = shape
        self.layers = nn.Sequential(*hidden_layers(self.inputs, WIDER * width, DEPTH, self.norm(None)))

        def last() -> nn.Module:
            pixels = nn.Linear(WIDER * width, channels * height * side)
            return nn.Sequential(pixels, nn.Tanh(), nn.Unflatten(1, (channels, height, side)))

        self.output = Heads(last() for _ in range(self.heads)) if self.heads else last()

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared layers give, (N, 8 W)."""
        return cast(Tensor, self.layers(latent))
