"""The networks that fit a kind of data, by the role they play."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from model import text
from training.configuration import ModelConfig
from training.data.dataset import Kind
from training.networks import image, points


@dataclass(frozen=True)
class Roles:
    """Builds networks for samples of one kind and shape, in the configured size.

    labels: K, how many labels stand after the V symbols of text.
    """

    kind: Kind
    shape: tuple[int, ...]
    size: ModelConfig
    labels: int = 0

    def generator(self) -> nn.Module:
        """Latents (N, Z + K) to samples (N, *shape)."""
        size = self.size
        if self.kind == "text":
            return text.Generator(**self._text(), latent=size.latent)
        if self.kind == "image":
            return image.Generator(shape=self.shape, width=size.width, latent=size.latent)
        return points.Generator(dimensions=self.shape[0], width=size.width, depth=size.depth, latent=size.latent)

    def critic(self, *, batch_norm: bool = False) -> nn.Module:
        """Samples (N, *shape) to scores (N,).  batch_norm: for images only, and never under a penalty."""
        size = self.size
        if self.kind == "text":
            return text.Critic(**self._text())
        if self.kind == "image":
            return image.Critic(shape=self.shape, width=size.width, batch_norm=batch_norm)
        return points.Critic(dimensions=self.shape[0], width=size.width, depth=size.depth)

    def _text(self) -> dict[str, int]:
        """What both networks of text are told."""
        (length, channels), size = self.shape, self.size
        inner = {"width": size.width, "depth": size.depth, "kernel": size.kernel}
        return {"length": length, "size": channels - self.labels, **inner, "labels": self.labels}
