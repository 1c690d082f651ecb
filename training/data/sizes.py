"""Images brought to a size that the networks take.  N images, C channels, H W pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Labelled
from training.data.optional import load_optional

SIDES = (8, 16, 32, 64, 128)
BORDER = 0.25  # of a side that may be added to reach the next of SIDES


def side_for(height: int, width: int) -> int | None:
    """The side of the square that images are put in: the next of SIDES, None where too much of it would be added."""
    side = next((side for side in SIDES if side >= max(height, width)), 0)
    return side if 0 < side * (1 - BORDER) <= min(height, width) else None


def resized(data: Labelled, size: int | None) -> Labelled:
    """Images (N, C, H, W) cut to their middle square and resized to a side of ``size``, with a note.

    size: None: 28 x 28 becomes 32 x 32 by repeating its outermost pixels, as any size does that is nearly one of SIDES;
    others are left for the networks to refuse.
    """
    height, width = data.samples.shape[2:]
    side = size or side_for(height, width)
    if side is None or (height, width) == (side, side):
        return data
    samples = _padded(data.samples, side) if size is None else _resampled(data.samples, side)
    how = "padded" if size is None else "resized"
    return replace(data, samples=samples, notes=(*data.notes, f"Images of {width} x {height} were {how} to {side}."))


def _padded(images: NDArray[Any], side: int) -> NDArray[Any]:
    missing = [side - length for length in images.shape[2:]]
    return np.pad(images, [(0, 0), (0, 0), *((m // 2, m - m // 2) for m in missing)], mode="edge")


def _resampled(images: NDArray[Any], side: int) -> NDArray[Any]:
    """Each channel by itself; linear over what a pixel covers, which stays within the range."""
    pillow, fit = load_optional("PIL.Image", "data.image_size"), load_optional("PIL.ImageOps", "data.image_size").fit
    found = np.empty((*images.shape[:2], side, side), images.dtype)
    for image, planes in zip(found, images, strict=True):
        for channel, plane in zip(image, planes, strict=True):
            channel[:] = np.asarray(fit(pillow.fromarray(plane), (side, side), pillow.Resampling.BILINEAR))
    return found
