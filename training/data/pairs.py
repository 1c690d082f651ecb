"""Pairs made of images on the fly: each stands beside another picture of its size, which it is to be made from.

N images, C channels, H W pixels, Z latent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigurationError
from model.latents import latents

if TYPE_CHECKING:
    from torch import Tensor

    from training.configuration import DataConfig
    from training.data.arrays import Images

_PURPOSE = 0x5041_4952_5300_0001


def edges(images: Tensor) -> Tensor:
    """The length of the gradient at each pixel, by central differences: -1 where an image is flat, 1 for 1 and more."""
    from torch.nn.functional import pad

    padded = pad(images, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return 2 * (across.square() + down.square()).sqrt().clamp(max=1) - 1


def invert(images: Tensor) -> Tensor:
    """Bright where an image is dark: -x."""
    return -images


def rotate(images: Tensor) -> Tensor:
    """A quarter turn against the clock."""
    return images.rot90(1, (-2, -1))


def rotate_back(images: Tensor) -> Tensor:
    """A quarter turn with the clock."""
    return images.rot90(-1, (-2, -1))


def shrink(images: Tensor) -> Tensor:
    """Half as large, each pixel the mean of four, and repeated to the size that it had."""
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(images, 2).repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)


MAKERS: dict[str, Callable[[Tensor], Tensor]] = {"edges": edges, "invert": invert, "rotate": rotate, "shrink": shrink}
"""Of images in [-1, 1], (N, C, H, W), the pictures that they are to be made from, of the same shape."""

BACK: dict[str, Callable[[Tensor], Tensor]] = {"invert": invert, "rotate": rotate_back}
"""What undoes them, where something does."""


@dataclass(frozen=True, eq=False)
class Pair:
    """What stands beside images.

    name: of one of MAKERS.  partners: (M,), of which row the picture beside each of M rows is made; None: of itself.
    """

    name: str
    partners: NDArray[np.int64] | None = None

    def of(self, images: Tensor) -> Tensor:
        """The pictures that images (N, C, H, W) are to be made from."""
        return MAKERS[self.name](images)

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of which the pictures beside these rows are made."""
        return rows if self.partners is None else self.partners[rows]


@dataclass(frozen=True, eq=False)
class Sources:
    """What a generator of pairs is asked to translate where it is looked at: the pictures of held-out images in turn.

    targets: (M, C, H, W), the images.  pair: what the pictures are.
    """

    targets: NDArray[np.float32]
    pair: Pair

    @cached_property
    def pictures(self) -> NDArray[np.float32]:
        """What they are to be made from, (M, C, H, W)."""
        import torch

        return np.ascontiguousarray(self.pair.of(torch.from_numpy(self.targets)).numpy())

    def rows(self, seed: int, first: int, n: int, size: int) -> NDArray[np.float32]:
        """What the generator takes for samples first .. first + n - 1 of a seed, (n, Z + CHW).  size: Z."""
        chosen = np.arange(first, first + n) % len(self.targets)
        return np.hstack([latents(seed, first, n, size), self.pictures[chosen].reshape(n, -1)])

    def beside(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Picture, sample and image side by side, (N, C, H, 3W), of samples 0 .. N - 1."""
        chosen = np.arange(len(samples)) % len(self.targets)
        return np.concatenate([self.pictures[chosen], samples, self.targets[chosen]], axis=3)


def partners(n: int, seed: int) -> NDArray[np.int64]:
    """Another row for each of n, (n,): the next of all rows in a random order, which is a circle."""
    random = np.random.Generator(np.random.Philox(key=np.array([seed, _PURPOSE], dtype=np.uint64)))
    order, found = random.permutation(n), np.empty(n, dtype=np.int64)
    found[order] = np.roll(order, 1)
    return found


def paired(data: Any, source: str, config: DataConfig) -> Images:
    """The images beside the pictures that ``data.pair`` names.

    Unpaired, the picture beside an image is made of another one, always the same, drawn by data.seed: a sample then
    holds one picture of either domain and says nothing of which belong together.  Those held out stay pairs, for
    measures.  Raises ConfigurationError for what is no images, or is learned under labels.
    """
    if data.kind != "image":
        raise ConfigurationError(f"data.pair makes pictures of images, and {source} is {data.kind}: leave it out")
    if config.condition:
        raise ConfigurationError(
            f"data.pair = {config.pair} and data.condition both say what a sample is made of: ask for one of them"
        )
    assert config.pair is not None
    others = partners(len(data), config.seed) if config.unpaired else None
    of_which = "another one" if config.unpaired else "it"
    note = f"Beside every image stands a picture made of {of_which}: {config.pair}."
    found: Images = replace(data, pair=Pair(config.pair, others), notes=(*data.notes, note))
    return found
