"""Encoders that draw: of one sample and noise, a latent of a law that they have learned.

N batch, Z latent, E coordinates of noise, F features.  An encoder is called with samples alone for the latent that
stands for each, and with noise for one that is drawn; one without ``noise`` has a single latent for each.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from training.networks.points import hidden_layers

DEPTH = 2  # hidden layers between features with noise, and the latent


class GaussianEncoder(nn.Module):
    """z = mu(x) + sigma(x) eps of each coordinate; mu without noise.  Dumoulin et al. 2017, section 2.2.

    network: samples (N, ...) to mu and log sigma, (N, 2 Z).
    """

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.network, self.noise = network, latent

    def forward(self, samples: Tensor, noise: Tensor | None = None) -> Tensor:
        mean, log_deviation = cast(Tensor, self.network(samples)).chunk(2, dim=1)
        return mean if noise is None else mean + log_deviation.exp() * noise


class ImplicitEncoder(nn.Module):
    """z = f(h(x), eps), of any law: noise enters beside the features h; without any it is 0.

    Mescheder, Nowozin, Geiger 2017, Figure 1b.  network: samples (N, ...) to features (N, F).
    """

    def __init__(self, network: nn.Module, features: int, latent: int) -> None:
        super().__init__()
        self.network, self.noise = network, latent
        self.head = nn.Sequential(*hidden_layers(features + latent, features, DEPTH), nn.Linear(features, latent))

    def forward(self, samples: Tensor, noise: Tensor | None = None) -> Tensor:
        features = self.network(samples)
        own = features.new_zeros(len(features), self.noise) if noise is None else noise.to(features.dtype)
        return cast(Tensor, self.head(torch.cat([features, own], dim=1)))


def drawn(encoder: nn.Module, samples: Tensor) -> Tensor:
    """A latent for each sample, (N, Z), of the encoder's law: the noise is from torch's generator."""
    size: int = getattr(encoder, "noise", 0)
    noise = (torch.randn(len(samples), size, dtype=samples.dtype, device=samples.device),) if size else ()
    return cast(Tensor, encoder(samples, *noise))
