"""Networks that make images from pictures, and a critic of patches.  For square sides that are 4 times a power of two.

C channels, S side, Z latent, K channels of the pictures.  A translator takes its picture flat after the latent,
(N, Z + K S S), and gives what a critic of pairs takes, (N, C + K, S, S): the image, and the picture after it.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from model.blocks import Norm
from model.branches import Branched
from training.layers import Layered
from training.networks.image import NORMS, doublings, initialize

HALVED = 2  # times that a ResNet halves the side of an image, at most
DROPPING = 3  # layers of a U-Net's way up that drop channels
PATCH = 3  # strided convolutions of a critic of patches, at most: then a patch is 38 pixels wide (theirs: 70)


class Translator(Branched):
    """What all of them are: the rows that they take, and the pairs that they give."""

    def __init__(self, *, shape: tuple[int, ...], latent: int, labels: int) -> None:
        """shape: of an image by itself, (C, S, S).  labels: K."""
        super().__init__(latent=latent, labels=labels)
        self.channels, self.side = shape[0], shape[-1]

    def picture(self, latent: Tensor) -> Tensor:
        """What an image is to be made from, (N, K, S, S)."""
        return latent[:, self.latent :].reshape(-1, self.labels, self.side, self.side)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.cat([self.outputs(latent), self.picture(latent)], dim=1)

    def translated(self, latent: Tensor, pictures: Tensor) -> Tensor:
        """The images (N, C, S, S) made from other pictures (N, K, S, S) than those that stand after the latents."""
        return self.outputs(torch.cat([latent[:, : self.latent], pictures.flatten(1)], dim=1))


class UNet(Translator):
    """Down to one pixel and up again, each layer on the way up beside the one of its size.  Isola et al. 2017, 6.1.1.

    Noise is what is dropped: half the channels of the first layers on the way up, in training and after it.  Here the
    latent draws it: channel c is kept where coordinate c modulo Z is positive.  So a sample is a function of its row.
    A departure: theirs drops single numbers, drawn by the network.  Another: layer norm, where theirs is of a batch,
    which would make a sample depend on those beside it.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, latent: int, labels: int) -> None:
        super().__init__(shape=shape, latent=latent, labels=labels)
        sizes = [min(2**i, 8) * width for i in range(doublings(shape) + 2)]
        self.down = nn.ModuleList(
            nn.Sequential(
                *([nn.LeakyReLU(0.2)] if i else []),
                nn.Conv2d(before, after, 4, stride=2, padding=1),
                *([NORMS["layer"](after)] if i else []),
            )
            for i, (before, after) in enumerate(itertools.pairwise([labels, *sizes]))
        )
        inputs = [sizes[-1], *(2 * size for size in reversed(sizes[:-1]))]
        outputs = [*reversed(sizes[:-1]), shape[0]]
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1),
                *([NORMS["layer"](after)] if i < len(sizes) - 1 else [nn.Tanh()]),
            )
            for i, (before, after) in enumerate(zip(inputs, outputs, strict=True))
        )
        self.apply(initialize)

    def outputs(self, latent: Tensor) -> Tensor:
        seen, beside = self.picture(latent), list[Tensor]()
        for layer in self.down:
            seen = layer(seen)
            beside.append(seen)
        made = beside.pop()
        for i, layer in enumerate(self.up):
            made = layer(made)
            if beside:
                kept = dropped(made, latent[:, : self.latent]) if i < DROPPING else made
                made = torch.cat([kept, beside.pop()], dim=1)
        return made


def dropped(hidden: Tensor, latent: Tensor) -> Tensor:
    """Twice those channels of (N, C, H, W) whose coordinate of the latent (N, Z), c modulo Z, is positive; else 0."""
    channels = hidden.shape[1]
    kept = (latent > 0).to(hidden.dtype).repeat(1, -(-channels // latent.shape[1]))[:, :channels]
    return 2 * hidden * kept[:, :, None, None]


class ResNet(Translator):
    """Residual blocks on an image halved at most twice, which keep what is where it is.  The latent is not looked at.

    Johnson et al. 2016, as Zhu et al. 2017, section 7.2, have it.  A departure: images of less than 32 pixels are
    halved less, down to a side of 8, and their first and last convolutions are of 3 pixels, or of 1, instead of 7: what
    sees a whole image may make any other of it, and then each picture becomes an image of some other label.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, depth: int, latent: int, labels: int) -> None:
        """depth: residual blocks."""
        super().__init__(shape=shape, latent=latent, labels=labels)
        widths = [width * 2**i for i in range(min(HALVED, doublings(shape) - 1) + 1)]
        kernel = 7 if self.side >= 32 else 3 if self.side >= 16 else 1
        layers: list[nn.Module] = [nn.Conv2d(labels, width, kernel, padding=kernel // 2), *_after(width)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), *_after(after)]
        layers += [ResidualBlock(widths[-1], NORMS["instance"], nn.ReLU()) for _ in range(depth)]
        for before, after in itertools.pairwise(reversed(widths)):
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), *_after(after)]
        last = nn.Conv2d(width, shape[0], kernel, padding=kernel // 2)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())

    def outputs(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.layers(self.picture(latent)))


def _after(channels: int) -> tuple[nn.Module, nn.Module]:
    return NORMS["instance"](channels), nn.ReLU()


class ResidualBlock(nn.Module):
    """x + norm(conv(bend(norm(conv(x))))), (N, C, H, W)."""

    def __init__(self, width: int, norm: Norm, bend: nn.Module) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.branch = nn.Sequential(first, norm(width), bend, second, norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.branch(x))


class Enlarger(Translator):
    """Images of twice the side of small ones, which stand in its pictures with each pixel repeated.

    The latent is not looked at.  SRResNet of one doubling, whose pixels come from four times as many channels.
    Ledig et al. 2017, section 2.1.1.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, depth: int, latent: int, labels: int) -> None:
        """depth: residual blocks."""
        super().__init__(shape=shape, latent=latent, labels=labels)
        self.first = nn.Sequential(nn.Conv2d(labels, width, 3, padding=1), nn.PReLU())
        blocks = [ResidualBlock(width, nn.BatchNorm2d, nn.PReLU()) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.last = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.PReLU(),
            nn.Conv2d(width, shape[0], 3, padding=1),
            nn.Tanh(),
        )

    def outputs(self, latent: Tensor) -> Tensor:
        first = self.first(self.picture(latent)[:, :, ::2, ::2])
        return cast(Tensor, self.last(first + self.blocks(first)))


class PatchCritic(Layered):
    """Images (N, C + K, S, S) to the mean, (N,), of the scores of all their patches.  Isola et al. 2017, section 3.2.2.

    Scores are linear in the last hidden layer, and so their mean is the score of its mean, the ``features``.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, norm: str = "none", labels: int = 0) -> None:
        """norm: as of ``image.Critic``."""
        strided = min(doublings(shape), PATCH)
        channels = [shape[0] + labels, *(width * 2**i for i in range(strided + 1))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(channels)):
            normal = norm in NORMS and (i > 0 or norm != "batch")
            kernel, stride = (4, 2) if i < strided else (3, 1)
            layers.append(nn.Conv2d(before, after, kernel, stride=stride, padding=1, bias=not normal))
            layers += [NORMS[norm](after)] if normal else []
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 1), labels=labels)
        self.apply(initialize)
