"""Networks that are told what to draw and where: a text and the box that it speaks of.  Reed et al. 2016b.

N batch, C channels, S side, Z latent, W words, E channels of a text.  A box is (left, top, right, bottom) in shares of
the side.  What a sample is made of is its words and then its box, K = W + 4 numbers.

What lies in a box and what lies around it go through paths of their own, between which a spatial transformer carries
patches into the box and out of it.  As in the authors' code the carrying is done where images have 16 x 16 places.
Departures: layers are fewer and narrower, as the images are small; the critic reads what it cuts out of the box by a
strided convolution where theirs takes a mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from training.conditions import Conditions, without
from training.layers import Layered, Marked
from training.networks.image import NORMS, doublings, initialize

BOX = 4  # numbers that are a box
GRID = 16  # side, at most, on which patches are carried into boxes and out of them
LEAST = 1e-2  # that a box counts as wide and high, so that nothing is divided by 0


def place(patch: Tensor, box: Tensor, side: int) -> Tensor:
    """A patch (N, C, h, w) put into boxes (N, 4) of empty squares, (N, C, side, side), bilinearly.

    A spatial transformer (Jaderberg et al. 2015) without turns: ``affine_grid`` and ``grid_sample`` of torch give the
    same.  Those have no second derivatives, which some update rules take, and sum in no fixed order on a GPU.
    """
    middles = _middles(side, box)
    low, size = _ends(box)
    down, across = ((middles - low[:, i]) / size[:, i] for i in (1, 0))
    return _carry(patch, down, across)


def crop(images: Tensor, box: Tensor, side: int) -> Tensor:
    """What lies in boxes (N, 4) of images (N, C, H, W), as patches (N, C, side, side); as ``place`` turned round."""
    middles = _middles(side, box)
    low, size = _ends(box)
    down, across = (low[:, i] + middles * size[:, i] for i in (1, 0))
    return _carry(images, down, across)


def _middles(side: int, like: Tensor) -> Tensor:
    """The middles of pixels, in shares of the side, (1, side)."""
    return ((torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side).unsqueeze(0)


def _ends(box: Tensor) -> tuple[Tensor, Tensor]:
    """Left and top, and width and height, (N, 2, 1) each."""
    low, high = box.unsqueeze(2).tensor_split(2, dim=1)
    return low, (high - low).clamp(min=LEAST)


def _carry(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Images (N, C, H, W) looked at where rows (N, h) and columns (N, w) lie, (N, C, h, w); 0 outside of them."""
    rows, columns = (_tents(at, size).unsqueeze(1) for at, size in zip((down, across), images.shape[2:], strict=True))
    return rows @ images.to(rows.dtype) @ columns.transpose(2, 3)


def _tents(at: Tensor, size: int) -> Tensor:
    """How much each of ``size`` pixels in a row counts at places (N, n), in shares of the row: (N, n, size)."""
    pixels = torch.arange(size, device=at.device, dtype=at.dtype)
    return relu(1 - (at.unsqueeze(2) * size - 0.5 - pixels).abs())


def _doubling(before: int, after: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]


def _halving(before: int, after: int, norm: str) -> list[nn.Module]:
    """norm: one of NORMS or none."""
    normal = norm in NORMS
    convolution = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normal)
    return [convolution, *([NORMS[norm](after)] if normal else []), nn.LeakyReLU(0.2)]


def _chain(channels: Sequence[int]) -> list[nn.Module]:
    """Layers that double the side again and again."""
    return [layer for step in itertools.pairwise(channels) for layer in _doubling(*step)]


def _squares(inputs: int, channels: int) -> list[nn.Module]:
    """Rows (N, inputs) to squares (N, channels, 4, 4)."""
    linear = nn.Linear(inputs, channels * 16, bias=False)
    return [linear, nn.Unflatten(1, (channels, 4, 4)), nn.BatchNorm2d(channels), nn.ReLU()]


class Text(nn.Sequential):
    """Words (N, W) to a text (N, E): the sum of what each word is, rectified."""

    def __init__(self, words: int, channels: int) -> None:
        super().__init__(nn.Linear(words, channels), nn.LeakyReLU(0.2))


def _everywhere(rows: Tensor, side: int) -> Tensor:
    """Rows (N, E) at every place of a square, (N, E, side, side)."""
    return rows[:, :, None, None].expand(-1, -1, side, side)


class WhatWhereGenerator(Marked):
    """Latents (N, Z + K) to what a critic takes, (N, C + K, S, S): the image, its words and its box.

    Around the box: noise beside the text in its box, as convolutions see that.  In the box: a patch made of noise and
    text.  Of both together the image is made.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, latent: int, words: int) -> None:
        """words: W."""
        super().__init__(latent=latent, labels=words + BOX)
        self.grid = min(shape[1], GRID)
        outer = doublings(shape) - (steps := doublings((0, self.grid, self.grid)))
        self.text = Text(words, width)
        self.where = nn.Sequential(*(layer for _ in range(steps) for layer in _halving(width, width, "batch")))
        self.noise = nn.Sequential(*_squares(latent, width))
        self.around = nn.Sequential(*_chain([2 * width, *[width] * steps]))
        self.inside = nn.Sequential(*_squares(latent + width, width), *_chain([width] * steps))
        joined = [nn.Conv2d(2 * width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        last = [nn.Conv2d(width, shape[0], 3, padding=1), nn.Tanh()]
        self.output = nn.Sequential(*joined, *_chain([width] * (outer + 1)), *last)
        self.apply(initialize)

    def hidden(self, latent: Tensor) -> Tensor:
        """Both paths, (N, 2 width, grid, grid)."""
        noise, words, box = latent.tensor_split([self.latent, self.latent + self.labels - BOX], dim=1)
        text = self.text(words)
        seen = self.where(place(text[:, :, None, None], box, self.grid))
        patch = self.inside(torch.cat([noise, text], dim=1))
        return torch.cat(
            [self.around(torch.cat([self.noise(noise), seen], dim=1)), place(patch, box, self.grid)], dim=1
        )


class WhatWhereCritic(Layered):
    """Images with their words and box (N, C + K, S, S) to a score (N,).

    It looks at the whole beside the text in its box, and at what lies in the box beside the text.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, words: int, norm: str = "none") -> None:
        """norm: of the hidden layers that halve a side, one of NORMS or none."""
        self.grid = min(shape[1], GRID)
        side, outer = self.grid // 4, doublings(shape) - doublings((0, self.grid, self.grid))
        super().__init__(nn.Linear(4 * width * side**2, 1), labels=words + BOX)
        self.text = Text(words, width)
        self.first = nn.Sequential(nn.Conv2d(shape[0], width, 3, padding=1), nn.LeakyReLU(0.2))
        self.shared = nn.Sequential(*(layer for _ in range(outer) for layer in _halving(width, width, norm)))
        self.halved = nn.Sequential(*_halving(width, width, norm))
        self.whole = nn.Sequential(*_halving(2 * width, 2 * width, norm))
        self.inside = nn.Sequential(*_halving(2 * width, 2 * width, norm))
        self.apply(initialize)

    def features(self, samples: Tensor) -> Tensor:
        """Both paths, flat, (N, F)."""
        words, box = Conditions(self.labels).of(samples).tensor_split([-BOX], dim=1)
        text, half = self.text(words), self.grid // 2
        shared = self.shared(self.first(without(samples, self.labels)))
        placed = place(text[:, :, None, None], box, half)
        whole = self.whole(torch.cat([self.halved(shared), placed], dim=1))
        inside = self.inside(torch.cat([crop(shared, box, half), _everywhere(text, half)], dim=1))
        return torch.cat([whole.flatten(1), inside.flatten(1)], dim=1)
