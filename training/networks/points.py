"""Fully connected networks for points in the plane or any small space.  D dimensions, Z latent."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


def hidden_layers(inputs: int, width: int, depth: int) -> list[nn.Module]:
    """``depth`` linear layers, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return layers


class Generator(nn.Module):
    """Latents (N, Z) to points (N, D)."""

    def __init__(self, *, dimensions: int, width: int, depth: int, latent: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*hidden_layers(latent, width, depth), nn.Linear(width, dimensions))

    def forward(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.layers(latent))


class Critic(nn.Module):
    """Points (N, D) to a score (N,)."""

    def __init__(self, *, dimensions: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*hidden_layers(dimensions, width, depth), nn.Linear(width, 1))

    def forward(self, points: Tensor) -> Tensor:
        return torch.squeeze(cast(Tensor, self.layers(points)), 1)
