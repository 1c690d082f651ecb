"""The networks that fit a kind of data, by the role they play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from model import text
from model.branches import Branched
from model.errors import ConfigurationError
from training.configuration import Config, refuse
from training.data.dataset import Kind
from training.latents import reference_latents
from training.layers import Layered, MinibatchDiscrimination, normalise_weights
from training.networks import connected, image, points, residual
from training.networks.translators import UNet

LATENT_DEPTH = 3  # hidden layers of a critic of latents
OWN_NETWORKS = ("lapgan", "gawwn")  # variants of images that take none from here


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

    def __post_init__(self) -> None:
        """Raises ConfigurationError for an architecture that there is no room for, since networks are others."""
        chosen, variant = self.config.model.architecture, self.config.variant
        others = {
            f"{self.kind}, which has networks of its own": self.kind != "image",
            f"data.pair = {self.config.data.pair}, where images are made from pictures": self.pictures,
            f"variant {variant}, which has networks of its own": variant in OWN_NETWORKS,
        }
        if chosen != "dcgan" and (there := [name for name, given in others.items() if given]):
            raise ConfigurationError(
                f"model.architecture = {chosen} is one of images that are made of latents, and this is {there[0]}: "
                "leave it out"
            )

    @property
    def pictures(self) -> bool:
        """Whether the conditions are pictures, which a generator is to make images from."""
        return self.config.data.pair is not None

    @property
    def own(self) -> tuple[int, ...]:
        """The shape of a sample by itself: (T, V), (C, H, W) or (D,)."""
        if self.kind == "text":
            return (self.shape[0], self.shape[1] - self.labels)
        return (self.shape[0] - self.labels, *self.shape[1:])

    def generator(self, heads: int = 0, *, codes: int = 0, labels: int | None = None) -> Branched:
        """Latents (N, Z + K) to samples (N, *shape).  heads: of as many generators, 0 for one.

        codes: K of a generator whose samples are each of one code, 0 for none.
        labels: K of a generator that takes others than those of the data; 0 for one that takes none, and makes samples
        by themselves, (N, *own).
        Raises ConfigurationError for branches of two kinds, or for branches of a generator that obeys labels.
        """
        size, asked = self.config.model, self.config.generator
        if self.pictures:
            return self.translator(others=bool(heads or codes or labels not in (None, self.labels)))
        labels = self.labels if labels is None else labels
        mixture = asked.mixture if asked.mixture > 1 else 0
        self._check_branches(heads or codes, mixture, labels)
        further: dict[str, Any] = {"heads": heads, "mixture": mixture, "codes": codes}
        further |= {"latent": size.latent, "labels": labels, "virtual_batch_norm": asked.virtual_batch_norm}
        generator: Branched
        if self.kind == "text":
            generator = text.Generator(**{**self._text(), **further})
        elif self.kind == "image":
            of_images = {"dcgan": image.Generator, "resnet101": residual.Generator, "mlp": connected.Generator}
            generator = of_images[size.architecture](shape=self.own, width=size.width, **further)
        else:
            generator = points.Generator(dimensions=self.own[0], width=size.width, depth=size.depth, **further)
        if generator.reference is not None:
            marks = labels or generator.branches
            generator.reference.copy_(reference_latents(self.config.seed, size.latent, marks))
        return generator

    def translator(self, *, others: bool = False) -> UNet:
        """A generator of images from pictures: latents with pictures flat after them, to samples (N, *shape).

        others: whether branches or labels are wanted as well.
        Raises ConfigurationError if that, or anything that a plain generator may have besides, is asked for.
        """
        config = self.config
        unfit = {
            config.variant: others,
            f"generator.mixture = {config.generator.mixture}": config.generator.mixture > 1,
            "generator.virtual_batch_norm": config.generator.virtual_batch_norm,
        }
        why = "what makes images from pictures is one U-Net, which is told of nothing but the picture"
        refuse(unfit, f"data.pair = {config.data.pair}: {why}: leave one of them out")
        size = config.model
        return UNet(shape=self.own, width=size.width, latent=size.latent, labels=self.labels)

    def _check_branches(self, branches: int, mixture: int, labels: int) -> None:
        if branches and mixture:
            raise ConfigurationError(
                f"generator.mixture = {mixture} cannot be had with {self.config.variant}: a sample would be of one of "
                "its generators or codes and of one of the Gaussians as well: ask for generator.mixture = 1"
            )
        if labels and (branches or mixture):
            asked = f"generator.mixture = {mixture}" if mixture else self.config.variant
            raise ConfigurationError(
                f"{asked} cannot be had with labels: a sample of a model has one label, which says either what it is "
                "like or which branch of the generator makes it: leave one of them out"
            )

    def critic(self, outputs: int = 0, *, labels: int | None = None, anchored: bool = False) -> nn.Module:
        """Samples (N, *shape), or packs of m with m times the channels, to scores (N,), or to logits (N, outputs).

        labels: K of a critic that takes others after a sample than those of the data, 0 for none.
        anchored: whether logits are all of real samples, beside that of generated ones, which is 0.
        Has ``features``, to the last hidden layer (N, F), and ``read``, of those.
        Raises ConfigurationError for a norm of a single number.
        """
        asked, labels = self.config.critic, self.labels if labels is None else labels
        self._check_norm()
        critic = self._reader(asked.norm, outputs=outputs, labels=labels, pack=asked.pack, anchored=anchored)
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

    def _reader(
        self, norm: str, *, outputs: int, labels: int, pack: int = 1, anchored: bool = False
    ) -> Layered | text.ResidualCritic:
        """Samples (N, ...) with K labels after their channels, in packs, to scores (N,) or to logits (N, outputs)."""
        size, (channels, *places) = self.config.model, self.own
        inner: dict[str, Any] = {"norm": norm, "outputs": outputs, "labels": labels}
        if self.kind == "text":
            told = self._text()
            sizes = {**told, "size": told["size"] * pack, "labels": labels, "outputs": outputs}
            return text.critic_of(norm, anchored=anchored, **sizes)
        if self.kind == "image":
            critic = residual.Critic if size.architecture == "resnet101" else image.Critic
            return critic(shape=(channels * pack, *places), width=size.width, **inner)
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
