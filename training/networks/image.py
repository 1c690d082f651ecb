"""DCGAN's networks (Radford et al. 2016) for square images whose side is 4 times a power of two.

C channels, S side, Z latent.  Batch norm everywhere but at the generator's output and the critic's input; a critic
under a gradient penalty must do without it, since the penalty is per sample.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from model.errors import ConfigurationError


def doublings(shape: tuple[int, ...]) -> int:
    """How often 4 is doubled to give the side of (C, S, S).  Raises ConfigurationError if it is not."""
    _, height, width = shape
    count = (height // 4).bit_length() - 1
    if height != width or height < 8 or 4 << count != height:
        raise ConfigurationError(f"images must be square with a side of 8, 16, 32, 64 or 128, got {height} x {width}")
    return count


class Generator(nn.Module):
    """Latents (N, Z) to images (N, C, S, S) in [-1, 1]."""

    def __init__(self, *, shape: tuple[int, ...], width: int, latent: int) -> None:
        super().__init__()
        count = doublings(shape)
        channels = [width * 2**i for i in reversed(range(count))]
        self.expand = nn.Sequential(
            nn.Linear(latent, channels[0] * 16, bias=False),
            nn.Unflatten(1, (channels[0], 4, 4)),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        blocks: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(channels):
            up = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
            blocks += [up, nn.BatchNorm2d(outputs), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Sequential(nn.ConvTranspose2d(channels[-1], shape[0], 4, stride=2, padding=1), nn.Tanh())
        self.apply(_initialize)

    def forward(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.output(self.blocks(self.expand(latent))))


class Critic(nn.Module):
    """Images (N, C, S, S) to a score (N,)."""

    def __init__(self, *, shape: tuple[int, ...], width: int, batch_norm: bool) -> None:
        super().__init__()
        channels = [width * 2**i for i in range(doublings(shape))]
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for inputs, outputs in itertools.pairwise(channels):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 16, 1))
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        return torch.squeeze(cast(Tensor, self.layers(images)), 1)


def _initialize(module: nn.Module) -> None:
    """N(0, 0.02) weights, as in the paper."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, mean=1.0, std=0.02)
