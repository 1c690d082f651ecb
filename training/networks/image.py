"""DCGAN's networks (Radford et al. 2016) for square images whose side is 4 times a power of two.

C channels, S side, Z latent.  Batch norm everywhere but at the generator's output and the critic's input; a critic
under a gradient penalty must do without it, since the penalty is per sample, and has layer or instance norm instead.
"""

from __future__ import annotations

import itertools
from typing import Unpack, cast

from torch import Tensor, nn

from model import blocks
from model.branches import Further, Heads, VirtualBatchNorm
from model.errors import ConfigurationError
from training.layers import Layered, Marked

NORMS = {**blocks.NORMS, "batch": nn.BatchNorm2d}


def doublings(shape: tuple[int, ...]) -> int:
    """How often 4 is doubled to give the side of (C, S, S).  Raises ConfigurationError if it is not."""
    _, height, width = shape
    count = (height // 4).bit_length() - 1
    if height != width or height < 8 or 4 << count != height:
        raise ConfigurationError(
            f"images must be square with a side of 8, 16, 32, 64 or 128, got {height} x {width}: "
            "data.image_size resizes them"
        )
    return count


class Generator(Marked):
    """Latents (N, Z + K) to images (N, C, S, S) in [-1, 1].

    With labels, to what a critic takes, (N, C + K, S, S): the image and the label that it was asked to be of.
    Several generators share all but the last convolution, and for images above 8 x 8 the one before it.  Virtual batch
    norm stands in the place of batch norm.
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
        count = doublings(shape)
        channels = [width * 2**i for i in reversed(range(count))]
        heads, norm = self.heads, self.norm(nn.BatchNorm2d)

        def up(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False), norm(outputs), nn.ReLU()]

        def last() -> list[nn.Module]:
            return [nn.ConvTranspose2d(width, shape[0], 4, stride=2, padding=1), nn.Tanh()]

        steps = list(itertools.pairwise(channels))
        shared = len(steps) - bool(heads and steps)
        self.expand = nn.Sequential(
            nn.Linear(self.inputs, channels[0] * 16, bias=False),
            nn.Unflatten(1, (channels[0], 4, 4)),
            norm(channels[0]),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(*(layer for step in steps[:shared] for layer in up(*step)))
        own = (nn.Sequential(*(layer for step in steps[shared:] for layer in up(*step)), *last()) for _ in range(heads))
        self.output = Heads(own) if heads else nn.Sequential(*last())
        self.apply(initialize)

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared layers give, (N, C, H, W) of some size."""
        return cast(Tensor, self.blocks(self.expand(latent)))


class Critic(Layered):
    """Images (N, C + K, S, S) to a score (N,), or to logits (N, outputs)."""

    def __init__(
        self, *, shape: tuple[int, ...], width: int, norm: str = "none", outputs: int = 0, labels: int = 0
    ) -> None:
        """norm: of every hidden layer, one of NORMS or none; batch norm of all but the first, as in the paper."""
        channels = [shape[0] + labels, *(width * 2**i for i in range(doublings(shape)))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(channels)):
            normal = norm in NORMS and (i > 0 or norm != "batch")
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normal))
            layers += [NORMS[norm](after)] if normal else []
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(
            *layers, nn.Flatten(), nn.Linear(channels[-1] * 16, outputs or 1), outputs=outputs, labels=labels
        )
        self.apply(initialize)


def initialize(module: nn.Module) -> None:
    """N(0, 0.02) weights, as in the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.BatchNorm2d | VirtualBatchNorm):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
