"""A Laplacian pyramid of images, and generators and critics of its levels.  Denton et al. 2015, section 2 and 3.

N batch, C channels, Z latent.  A level is a side: 4, 8, ... up to the images' own.  An image I of a level is a
low-pass, ``up(down(I))``, and a band-pass, which is what that lacks; the coarsest level is of images as they are.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from model.branches import Branched
from model.errors import ConfigurationError
from training.layers import Layered
from training.networks.image import Critic, doublings, initialize
from training.networks.points import hidden_layers

COARSEST = 4  # side


def down(images: Tensor) -> Tensor:
    """Half as large, (N, C, S/2, S/2): each pixel is the mean of four."""
    return avg_pool2d(images, 2)


def up(images: Tensor) -> Tensor:
    """Twice as large, (N, C, 2S, 2S), and smooth."""
    return interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def bands(images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Band-pass and low-pass of each level but the coarsest, (N, C, S, S) each, from coarse to fine.

    Their sum is the image of that level.  images: (N, C, S, S).
    """
    found = []
    while images.shape[-1] > COARSEST:
        smaller = down(images)
        low = up(smaller)
        found.append((images - low, low))
        images = smaller
    return found[::-1]


def coarsest(images: Tensor) -> Tensor:
    """The image of the coarsest level, (N, C, 4, 4)."""
    while images.shape[-1] > COARSEST:
        images = down(images)
    return images


class Band(nn.Module):
    """A level's generator: of noise (N, z) and a low-pass (N, C, S, S), its band-pass (N, C, S, S).

    Convolutions of the low-pass with one more channel, which a linear layer makes of the noise; theirs is noise itself.
    """

    def __init__(self, *, channels: int, side: int, width: int, noise: int) -> None:
        super().__init__()
        self.plane = nn.Sequential(nn.Linear(noise, side * side), nn.Unflatten(1, (1, side, side)))
        self.layers = nn.Sequential(
            nn.Conv2d(channels + 1, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, channels, 5, padding=2),
        )

    def forward(self, noise: Tensor, low: Tensor) -> Tensor:
        return cast(Tensor, self.layers(torch.cat([low, self.plane(noise)], dim=1)))


class Generator(Branched):
    """Latents (N, Z) to images (N, C, S, S), from coarse to fine: I_k = up(I_(k+1)) + G_k(z_k, up(I_(k+1))).

    Each level has its own part of the latent's coordinates.
    """

    def __init__(self, *, shape: tuple[int, ...], width: int, latent: int) -> None:
        """shape: (C, S, S).  Raises ConfigurationError for a latent that has not a coordinate for each level."""
        super().__init__(latent=latent)
        channels, side = shape[0], COARSEST
        levels = doublings(shape) + 1
        if latent < levels:
            raise ConfigurationError(
                f"model.latent must be at least {levels}, a coordinate for each level of the pyramid, got {latent}"
            )
        first, *sizes = (len(part) for part in torch.empty(latent).tensor_split(levels))
        inside = 4 * width
        self.first = nn.Sequential(
            *hidden_layers(first, inside, 2),
            nn.Linear(inside, channels * side * side),
            nn.Unflatten(1, (channels, side, side)),
            nn.Tanh(),
        )
        self.bands = nn.ModuleList(
            Band(channels=channels, side=side << i, width=width, noise=size) for i, size in enumerate(sizes, start=1)
        )
        self.apply(initialize_bands)

    def noises(self, latent: Tensor) -> tuple[Tensor, ...]:
        """The part of the latent (N, Z) that each level has, from coarse to fine."""
        return latent.tensor_split(len(self.bands) + 1, dim=1)

    def outputs(self, latent: Tensor) -> Tensor:
        first, *rest = self.noises(latent)
        images = cast(Tensor, self.first(first))
        for band, noise in zip(self.bands, rest, strict=True):
            low = up(images)
            images = low + band(noise, low)
        return images

    def forward(self, latent: Tensor) -> Tensor:
        return self.outputs(latent)

    def levels(self, latent: Tensor, images: Tensor) -> list[Tensor]:
        """What each level makes of its noise and the low-pass of real images (N, C, S, S), as ``seen`` has of these."""
        first, *rest = self.noises(latent)
        made = [cast(Tensor, self.first(first))]
        for band, noise, (_, low) in zip(self.bands, rest, bands(images), strict=True):
            made.append(torch.cat([band(noise, low), low], dim=1))
        return made


def seen(images: Tensor) -> list[Tensor]:
    """What the critic of each level sees of images: (N, C, 4, 4), then band-pass and low-pass, (N, 2C, S, S)."""
    return [coarsest(images), *(torch.cat(pair, dim=1) for pair in bands(images))]


class CoarseCritic(Layered):
    """Images (N, C, 4, 4) to scores (N,): fully connected, as theirs of the coarsest level."""

    def __init__(self, *, channels: int, width: int) -> None:
        inside = 4 * width
        hidden = hidden_layers(channels * COARSEST**2, inside, 2)
        super().__init__(nn.Flatten(), *hidden, nn.Linear(inside, 1))


def critics(*, shape: tuple[int, ...], width: int, norm: str) -> nn.ModuleList:
    """One of each level, from coarse to fine, of what ``seen`` gives.  shape: (C, S, S)."""
    channels, sides = shape[0], [COARSEST << i for i in range(1, doublings(shape) + 1)]
    fine = [Critic(shape=(channels, side, side), width=width, norm=norm, labels=channels) for side in sides]
    return nn.ModuleList([CoarseCritic(channels=channels, width=width), *fine])


def initialize_bands(module: nn.Module) -> None:
    """As DCGAN's convolutions; fully connected layers as torch has them."""
    if isinstance(module, nn.Conv2d):
        initialize(module)
