"""A fully connected generator of images, as in Gulrajani et al. 2017, Figure 2.

C channels, S side, Z latent, W width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from model.branches import Branched, Heads, VirtualBatchNorm
from training.layers import marked
from training.networks.points import hidden_layers

DEPTH, WIDER = 4, 8  # hidden layers, and their width in W: 512 at a W of 64, as in the paper


class Generator(Branched):
    """Latents (N, Z + K) to images (N, C, S, S) in [-1, 1], with the labels after them where there are any.

    Several generators share all layers but the last.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        width: int,
        latent: int,
        labels: int = 0,
        heads: int = 0,
        mixture: int = 0,
        codes: int = 0,
        virtual_batch_norm: bool = False,
    ) -> None:
        """labels, heads, mixture, codes, virtual_batch_norm: as for ``Branched``."""
        branches = {"heads": heads, "mixture": mixture, "codes": codes}
        super().__init__(latent=latent, labels=labels, **branches, virtual_batch_norm=virtual_batch_norm)
        channels, height, side = shape
        norm = VirtualBatchNorm if virtual_batch_norm else None
        self.layers = nn.Sequential(*hidden_layers(self.inputs, WIDER * width, DEPTH, norm))

        def last() -> nn.Module:
            pixels = nn.Linear(WIDER * width, channels * height * side)
            return nn.Sequential(pixels, nn.Tanh(), nn.Unflatten(1, (channels, height, side)))

        self.output = Heads(last() for _ in range(heads)) if heads else last()

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared layers give, (N, 8 W)."""
        return cast(Tensor, self.layers(latent))

    def forward(self, latent: Tensor) -> Tensor:
        return marked(self, latent)
