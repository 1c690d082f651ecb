"""The ResNets of 101 layers that Gulrajani et al. 2017, section 5.1, train: 33 bottlenecks of three convolutions each.

C channels, S side, Z latent, W width.  For square images whose side is 4 times a power of two.  The blocks are divided
evenly among the resolutions from 4 to S, the larger ones having one more where they do not come out even.
A departure: theirs have 8 W channels at 4 x 4 and half as many at every doubling, which is done by blocks with weights;
here there are W everywhere, and between blocks images are only doubled or averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Unpack, cast

from torch import Tensor, nn

from model.blocks import RESIDUAL, Norm
from model.branches import Further, Heads
from training.layers import Layered, Marked
from training.networks.image import NORMS, doublings

BLOCKS = 33


class Bottleneck(nn.Module):
    """x + 0.3 norm(conv1(relu(conv3(relu(conv1(relu(x))))))), three of a ResNet's layers; W to W channels."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        half = max(1, width // 2)
        # Not in place: the skip path must carry x and not relu(x).
        layers = (nn.ReLU(), nn.Conv2d(width, half, 1), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1))
        self.branch = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(half, width, 1, bias=False), norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * cast(Tensor, self.branch(x))


class Generator(Marked):
    """Latents (N, Z + K) to images (N, C, S, S) in [-1, 1], with the labels after them where there are any.

    Several generators share all but the last block and the last convolution.
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
        heads, norm = self.heads, self.norm(nn.BatchNorm2d)
        blocks = [Bottleneck(width, norm) for _ in range(BLOCKS - bool(heads))]
        first = (nn.Linear(self.inputs, width * 16), nn.Unflatten(1, (width, 4, 4)))
        self.layers = nn.Sequential(*first, *staged(blocks, sizes(shape), nn.Upsample(scale_factor=2)))

        def last() -> list[nn.Module]:
            return [nn.Conv2d(width, shape[0], 1), nn.Tanh()]

        own = (nn.Sequential(Bottleneck(width, norm), *last()) for _ in range(heads))
        self.output = Heads(own) if heads else nn.Sequential(*last())

    def hidden(self, latent: Tensor) -> Tensor:
        """What the shared layers give, (N, W, S, S)."""
        return cast(Tensor, self.layers(latent))


class Critic(Layered):
    """Images (N, C + K, S, S) to a score (N,), or to logits (N, outputs)."""

    def __init__(
        self, *, shape: tuple[int, ...], width: int, norm: str = "none", outputs: int = 0, labels: int = 0
    ) -> None:
        """norm: of every block, one of NORMS or none."""
        normalise: Norm = NORMS.get(norm, lambda _: nn.Identity())
        blocks = staged([Bottleneck(width, normalise) for _ in range(BLOCKS)], sizes(shape)[::-1], nn.AvgPool2d(2))
        last = (nn.Flatten(), nn.Linear(width * 16, outputs or 1))
        first = nn.Conv2d(shape[0] + labels, width, 3, padding=1)
        super().__init__(first, *blocks, *last, outputs=outputs, labels=labels)


def sizes(shape: tuple[int, ...]) -> list[int]:
    """How many of the blocks each resolution has, from 4 x 4 to that of the shape (C, S, S)."""
    count = doublings(shape) + 1
    return sorted(BLOCKS * (i + 1) // count - BLOCKS * i // count for i in range(count))


def staged(blocks: Iterable[nn.Module], sizes: Sequence[int], between: nn.Module) -> list[nn.Module]:
    """The blocks in their order, so many of them and a layer without weights in turn."""
    left, layers = iter(blocks), list[nn.Module]()
    for i, size in enumerate(sizes):
        layers += [*([between] if i else []), *islice(left, size)]
    return layers
