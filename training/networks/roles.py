"""The networks that fit a kind of data, by the role they play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from model import text
from model.branches import Branched
from model.errors import ConfigurationError
from training.configuration import Config
from training.data.dataset import Kind
from training.latents import reference_latents
from training.layers import Layered, MinibatchDiscrimination, normalise_weights
from training.networks import image, points


@dataclass(frozen=True)
class Roles:
    """Builds networks for samples of one kind and shape, as configured.

    labels: K, how many labels stand after the V symbols of text.
    """

    kind: Kind
    shape: tuple[int, ...]
    config: Config
    labels: int = 0

    def generator(self, heads: int = 0) -> Branched:
        """Latents (N, Z + K) to samples (N, *shape).  heads: of as many generators, 0 for one.

        Raises ConfigurationError for branches of two kinds, or for branches of a generator that obeys labels.
        """
        size, asked = self.config.model, self.config.generator
        mixture = asked.mixture if asked.mixture > 1 else 0
        self._check_branches(heads, mixture)
        further: dict[str, Any] = {"heads": heads, "mixture": mixture, "virtual_batch_norm": asked.virtual_batch_norm}
        generator: Branched
        if self.kind == "text":
            generator = text.Generator(**{**self._text(), "latent": size.latent, **further})
        elif self.kind == "image":
            generator = image.Generator(shape=self.shape, width=size.width, latent=size.latent, **further)
        else:
            inner = {"width": size.width, "depth": size.depth, "latent": size.latent, **further}
            generator = points.Generator(dimensions=self.shape[0], **inner)
        if generator.reference is not None:
            marks = self.labels or generator.branches
            generator.reference.copy_(reference_latents(self.config.seed, size.latent, marks))
        return generator

    def _check_branches(self, heads: int, mixture: int) -> None:
        if heads and mixture:
            raise ConfigurationError(
                f"generator.mixture = {mixture} cannot be had with {self.config.variant}: a sample would be of one of "
                "its generators and of one of the Gaussians as well: ask for generator.mixture = 1"
            )
        if self.labels and (heads or mixture):
            asked = f"generator.mixture = {mixture}" if mixture else self.config.variant
            raise ConfigurationError(
                f"{asked} cannot be had with data.label: a string of a model has one label, which says either what it "
                "is like or which branch of the generator makes it: leave one of them out"
            )

    def critic(self, outputs: int = 0) -> nn.Module:
        """Samples (N, *shape), or packs of m with m times the channels, to scores (N,), or to logits (N, outputs).

        Has ``features``, to the last hidden layer (N, F), and ``read``, of those.
        Raises ConfigurationError for a norm of a single number.
        """
        size, asked = self.config.model, self.config.critic
        self._check_norm()
        critic: Layered | text.ResidualCritic
        if self.kind == "text":
            told = self._text()
            critic = text.critic_of(asked.norm, **{**told, "size": told["size"] * asked.pack}, outputs=outputs)
        elif self.kind == "image":
            shape = (self.shape[0] * asked.pack, *self.shape[1:])
            critic = image.Critic(shape=shape, width=size.width, norm=asked.norm, outputs=outputs)
        else:
            inner = {"width": size.width, "depth": size.depth, "outputs": outputs}
            critic = points.Critic(dimensions=self.shape[0] * asked.pack, norm=asked.norm, **inner)
        judging = MinibatchDiscrimination(critic) if asked.minibatch_discrimination else critic
        normalise_weights(judging, asked.norm)
        return judging

    def _check_norm(self) -> None:
        """Raises ConfigurationError if the critic's norm would leave nothing of what it normalises."""
        norm, width = self.config.critic.norm, self.config.model.width
        places = {"text": self.shape[0], "image": 16, "points": 1}[self.kind]
        samples = self.config.batch_size // self.config.critic.pack
        over = {
            "instance": (places, f"the places of a channel, and {self.kind} of shape {self.shape} have"),
            "layer": (places * width, f"a layer of a sample, and with model.width = {width} it has"),
            "batch": (places * samples, f"a channel of a batch, and of {samples} sample it has"),
        }
        if norm in over and over[norm][0] < 2:
            raise ConfigurationError(
                f"critic.norm = {norm} subtracts the mean over {over[norm][1]} a single number, of which 0 is left: "
                f"ask for critic.norm = {'layer' if norm == 'instance' else 'none'}"
            )

    def _text(self) -> dict[str, int]:
        """What both networks of text are told."""
        (length, channels), size = self.shape, self.config.model
        inner = {"width": size.width, "depth": size.depth, "kernel": size.kernel}
        return {"length": length, "size": channels - self.labels, **inner, "labels": self.labels}
