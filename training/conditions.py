"""What a sample is made of besides its latent, such as its label, and where a critic finds it.

N batch, K channels of conditions, Z latent.  A generator takes conditions after the latent, (N, Z + G).  A critic takes
them as further channels after those of the sample itself: (N, T, V + K) for text, (N, C + K, H, W) for images,
(N, D + K) for points.  So a critic judges pairs, as in Mirza and Osindero 2014, and every game can be played on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it takes a second, and who opens data may not need it
    from torch import Tensor


def channel_axis(samples: Tensor) -> int:
    """The axis of the channels: of images the one after the batch's, of text and points the last."""
    return 1 if samples.dim() == 4 else samples.dim() - 1


def beside(samples: Tensor, rows: Tensor) -> Tensor:
    """Samples with rows (N, K) after their channels, the same at every place."""
    import torch

    if samples.dim() == 2:
        return torch.cat([samples, rows], dim=1)
    if samples.dim() == 3:
        return torch.cat([samples, rows.unsqueeze(1).expand(-1, samples.shape[1], -1)], dim=2)
    planes = rows[:, :, None, None].expand(-1, -1, *samples.shape[2:])
    return torch.cat([samples, planes], dim=1)


def without(samples: Tensor, channels: int) -> Tensor:
    """Samples without the K channels that follow their own."""
    if not channels:
        return samples
    axis = channel_axis(samples)
    return samples.narrow(axis, 0, samples.shape[axis] - channels)


class Asked(Protocol):
    """What the samples of looks and scores are asked to be: nothing where it is false, or a label or a caption each."""

    def rows(self, seed: int, first: int, n: int, size: int) -> NDArray[np.float32]:
        """What a generator takes for samples first .. first + n - 1 of a seed, (n, Z + K); size: Z."""
        ...


@dataclass(frozen=True)
class Conditions:
    """What follows the samples of a dataset; false where nothing does.

    channels: K.  pictures: whether they differ from place to place, as another image of the same size does; else they
    are rows, the same at every place.
    """

    channels: int = 0
    pictures: bool = False

    def __bool__(self) -> bool:
        return self.channels > 0

    def of(self, samples: Tensor) -> Tensor:
        """The conditions of samples that have them, as a generator takes them: (N, K), or the pictures flat, (N, G)."""
        axis = channel_axis(samples)
        found = samples.narrow(axis, samples.shape[axis] - self.channels, self.channels)
        if self.pictures:
            return found.flatten(1)
        return found[:, 0] if samples.dim() == 3 else found[:, :, 0, 0] if samples.dim() == 4 else found
