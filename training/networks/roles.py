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

LATENT_DEPTH = 3  # hidden layers of a critic of latents


@dataclass(frozen=True)
class Roles:
    """Builds networks for samples of one kind and shape, as configured.

    labels: K, channels of conditions that stand after those of a sample: the V symbols of text, C of an image, D of a
    point.
    """

    kind: Kind
    shape: tuple[int, ...]
    config: Config
    labels: int = 0

    @property
    def own(self) -> tuple[int, ...]:
        """The shape of a sample by itself: (T, V), (C, H, W) or (D,)."""
        if self.kind == "text":
            return (self.shape[0], self.shape[1] - self.labels)
        return (self.shape[0] - self.labels, *self.shape[1:])

    def generator(self, heads: int = 0, *, labels: int | None = None) -> Branched:
        """Latents (N, Z + K) to samples (N, *shape).  heads: of as many generators, 0 for one.

        labels: K of a generator that takes others than those of the data; 0 for one that takes none, and makes samples
        by themselves, (N, *own).
        Raises ConfigurationError for branches of two kinds, or for branches of a generator that obeys labels.
        """
        size, asked = self.config.model, self.config.generator
        labels = self.labels if labels is None else labels
        mixture = asked.mixture if asked.mixture > 1 else 0
        self._check_branches(heads, mixture, labels)
        further: dict[str, Any] = {"heads": heads, "mixture": mixture, "virtual_batch_norm": asked.virtual_batch_norm}
        further |= {"latent": size.latent, "labels": labels}
        generator: Branched
        if self.kind == "text":
            generator = text.Generator(**{**self._text(), **further})
        elif self.kind == "image":
            generator = image.Generator(shape=self.own, width=size.width, **further)
        else:
            generator = points.Generator(dimensions=self.own[0], width=size.width, depth=size.depth, **further)
        if generator.reference is not None:
            marks = labels or generator.branches
            generator.reference.copy_(reference_latents(self.config.seed, size.latent, marks))
        return generator

    def _check_branches(self, heads: int, mixture: int, labels: int) -> None:
        if heads and mixture:
            raise ConfigurationError(
                f"generator.mixture = {mixture} cannot be had with {self.config.variant}: a sample would be of one of "
                "its generators and of one of the Gaussians as well: ask for generator.mixture = 1"
            )
        if labels and (heads or mixture):
            asked = f"generator.mixture = {mixture}" if mixture else self.config.variant
            raise ConfigurationError(
                f"{asked} cannot be had with labels: a sample of a model has one label, which says either what it is "
                "like or which branch of the generator makes it: leave one of them out"
            )

    def critic(self, outputs: int = 0, *, labels: int | None = None) -> nn.Module:
        """Samples (N, *shape), or packs of m with m times the channels, to scores (N,), or to logits (N, outputs).

        labels: K of a critic that takes others after a sample than those of the data, 0 for none.
        Has ``features``, to the last hidden layer (N, F), and ``read``, of those.
        Raises ConfigurationError for a norm of a single number.
        """
        asked, labels = self.config.critic, self.labels if labels is None else labels
        self._check_norm()
        critic = self._reader(asked.norm, outputs=outputs, labels=labels, pack=asked.pack)
        judging = MinibatchDiscrimination(critic) if asked.minibatch_discrimination else critic
        normalise_weights(judging, asked.norm)
        return judging

    def encoder(self, outputs: int) -> nn.Module:
        """Samples by themselves, (N, *own), to (N, outputs): a critic's layers without its norms and cures."""
        return self._reader("none", outputs=outputs, labels=0)

    def latent_critic(self) -> nn.Module:
        """Latents (N, Z) to scores (N,): fully connected, whatever the kind of data."""
        size, norm = self.config.model, self.config.critic.norm
        critic = points.Critic(dimensions=size.latent, width=size.width, depth=LATENT_DEPTH, norm=norm)
        normalise_weights(critic, norm)
        return critic

    def _reader(self, norm: str, *, outputs: int, labels: int, pack: int = 1) -> Layered | text.ResidualCritic:
        """Samples (N, ...) with K labels after their channels, in packs, to scores (N,) or to logits (N, outputs)."""
        size, (channels, *places) = self.config.model, self.own
        inner: dict[str, Any] = {"norm": norm, "outputs": outputs, "labels": labels}
        if self.kind == "text":
            told = self._text()
            return text.critic_of(norm, **{**told, "size": told["size"] * pack, "labels": labels, "outputs": outputs})
        if self.kind == "image":
            return image.Critic(shape=(channels * pack, *places), width=size.width, **inner)
        return points.Critic(dimensions=channels * pack, width=size.width, depth=size.depth, **inner)

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
        (length, symbols), size = self.own, self.config.model
        return {"length": length, "size": symbols, "width": size.width, "depth": size.depth, "kernel": size.kernel}
