"""Augmentation of all that a critic of images sees, through which the generator learns.  Zhao et al. 2020, section 3.2.

N batch, C channels of an image, K conditions after them, H x W places.  A critic of few images learns them by heart;
one that is only ever shown random distortions, of real and generated images by one law, must judge what is left.

Every image draws for itself, from torch's own generator, which the loop sets anew for each turn.  Conditions are told
to the critic, and are not what it judges: colour and cutout leave them, and under translation they go along with the
image, their edges repeated.  So labels, the same at every place, stay as they are, and a picture where its image is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from training.conditions import without

TRANSLATED = 8  # at most this part of a side, as in the paper
CUT_OUT = 2  # this part of each side, as in the paper


def augmented(images: Tensor, names: Sequence[str], conditions: int = 0) -> Tensor:
    """Images (N, C + K, H, W) in [-1, 1] after the named augmentations, each in its turn.

    In fp32 at least: in half the precision, generated images would be distorted by another law than real ones.
    """
    seen = images.to(torch.promote_types(images.dtype, torch.float32))
    for name in names:
        seen = AUGMENTATIONS[name](seen, conditions)
    return seen


def color(images: Tensor, conditions: int = 0) -> Tensor:
    """Brightness, saturation and contrast: a shift by up to 0.5, a factor of 0 to 2, and one of 0.5 to 1.5.

    Saturation is the distance of channels from their mean, which one channel has none of; contrast is that from the
    mean of all the image.
    """
    own = without(images, conditions)
    own = own + _uniform(own) - 0.5
    own = _stretched(own, own.mean(dim=1, keepdim=True), 2 * _uniform(own))
    own = _stretched(own, own.mean(dim=(1, 2, 3), keepdim=True), 0.5 + _uniform(own))
    return _with_conditions(own, images)


def translation(images: Tensor, conditions: int = 0) -> Tensor:
    """A move by up to an eighth of the sides either way; what comes in is 0, a middle grey."""
    height, width = images.shape[2:]
    down, right = (_whole(images, -(side // TRANSLATED), side // TRANSLATED) for side in (height, width))
    return moved(images, down, right, conditions)


def moved(images: Tensor, down: Tensor, right: Tensor, conditions: int = 0) -> Tensor:
    """Each image moved by its own number of places, (N,), either way."""
    (count, channels, height, width), device = images.shape, images.device
    rows = torch.arange(height, device=device) - down.unsqueeze(1)
    columns = torch.arange(width, device=device) - right.unsqueeze(1)
    inside = _within(rows, height).view(count, 1, -1, 1) & _within(columns, width).view(count, 1, 1, -1)
    found = images[
        torch.arange(count, device=device).view(-1, 1, 1, 1),
        torch.arange(channels, device=device).view(1, -1, 1, 1),
        rows.clamp(0, height - 1).view(count, 1, -1, 1),
        columns.clamp(0, width - 1).view(count, 1, 1, -1),
    ]
    return _with_conditions(without(found, conditions) * inside, found)


def cutout(images: Tensor, conditions: int = 0) -> Tensor:
    """Zeros in a rectangle of half the sides, whose centre is anywhere in the image."""
    height, width = images.shape[2:]
    top, left = (_whole(images, 0, side - (side // CUT_OUT) % 2) - side // CUT_OUT // 2 for side in (height, width))
    return cut(images, top, left, conditions)


def cut(images: Tensor, top: Tensor, left: Tensor, conditions: int = 0) -> Tensor:
    """Each image with zeros in such a rectangle at its own place, (N,), as far as that lies in the image."""
    (count, _, height, width), device = images.shape, images.device
    rows = torch.arange(height, device=device) - top.unsqueeze(1)
    columns = torch.arange(width, device=device) - left.unsqueeze(1)
    gone_rows, gone_columns = _within(rows, height // CUT_OUT), _within(columns, width // CUT_OUT)
    gone = gone_rows.view(count, 1, -1, 1) & gone_columns.view(count, 1, 1, -1)
    return _with_conditions(without(images, conditions) * ~gone, images)


AUGMENTATIONS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def _stretched(images: Tensor, about: Tensor, factor: Tensor) -> Tensor:
    return (images - about) * factor + about


def _with_conditions(own: Tensor, images: Tensor) -> Tensor:
    """Images with the conditions of others, (N, C + K, H, W)."""
    return torch.cat([own, images[:, own.shape[1] :]], dim=1) if own.shape[1] < images.shape[1] else own


def _within(places: Tensor, end: int) -> Tensor:
    return (places >= 0) & (places < end)


def _uniform(images: Tensor) -> Tensor:
    """A number of (0, 1) for each image, (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, dtype=images.dtype, device=images.device)


def _whole(images: Tensor, first: int, last: int) -> Tensor:
    """A whole number from first to last for each image, (N,)."""
    return torch.randint(first, last + 1, (len(images),), device=images.device)
