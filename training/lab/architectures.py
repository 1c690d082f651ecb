"""The architectures that a robust way of training should not mind, for images of 8 x 8.

C channels of the images, W width, Z latent.  Each is that of Gulrajani et al. 2017, Figure 2, at a smaller scale: two
resolutions instead of five.  The ResNets and the fully connected generator are those of ``model.architecture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from model.blocks import Norm
from model.branches import Branched
from training.networks import connected, image, residual
from training.networks.roles import Roles

NORMS: dict[str, Norm] = {**image.NORMS, "none": lambda channels: nn.Identity()}


@dataclass(frozen=True)
class Style:
    """How a pair of networks departs from DCGAN's.

    generator, critic: "convolutions", "mlp" or "resnet".  tapering: whether channels shrink as the side grows.
    normal: whether anything is normalised; generator_normal: whether the generator is.
    """

    generator: str = "convolutions"
    critic: str = "convolutions"
    tapering: bool = True
    generator_normal: bool = True
    critic_normal: bool = True
    tanh: bool = False


STYLES: dict[str, Style] = {
    "DCGAN": Style(),
    "G: no norm, constant width": Style(tapering=False, generator_normal=False),
    "G: ReLU MLP": Style(generator="mlp"),
    "no norm anywhere": Style(generator_normal=False, critic_normal=False),
    "tanh everywhere": Style(tanh=True),
    "101-layer ResNets": Style(generator="resnet", critic="resnet"),
}


class Whole(Branched):
    """A generator of these layers, without branches."""

    def __init__(self, latent: int, *layers: nn.Module) -> None:
        super().__init__(latent=latent)
        self.layers, self.output = nn.Sequential(*layers), nn.Identity()

    def hidden(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.layers(latent))


def convolutional_generator(style: Style, channels: int, width: int, latent: int) -> Whole:
    """A linear layer to 4 x 4, a transposed convolution to 8 x 8, and one that keeps it."""
    wide = 2 * width if style.tapering else width
    normalise, bend = _layers(style.tanh, nn.ReLU(), "batch" if style.generator_normal else "none")
    return Whole(
        latent, nn.Linear(latent, wide * 16), nn.Unflatten(1, (wide, 4, 4)), normalise(wide), bend,
        nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1), normalise(width), bend,
        nn.ConvTranspose2d(width, channels, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


def convolutional_critic(style: Style, channels: int, width: int, norm: str) -> nn.Sequential:
    """Strided convolutions to 4 x 4 and 2 x 2, and a linear layer."""
    normalise, bend = _layers(style.tanh, nn.LeakyReLU(0.2), norm if style.critic_normal else "none")
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), bend,
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), normalise(2 * width), bend,
        nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1), normalise(4 * width), bend,
        nn.Flatten(), nn.Linear(16 * width, 1), nn.Flatten(0),
    )  # fmt: skip


def architecture(style: Style) -> type[Roles]:
    """Roles whose networks are of a style; the critic's norm is the configuration's critic.norm."""

    class Styled(Roles):
        def generator(self, heads: int = 0, *, codes: int = 0, labels: int | None = None) -> Branched:
            size = self.config.model
            if style.generator == "convolutions":
                return convolutional_generator(style, self.shape[0], size.width, size.latent)
            make = connected.Generator if style.generator == "mlp" else residual.Generator
            return make(shape=self.shape, width=size.width, latent=size.latent)

        def critic(self, outputs: int = 0, *, labels: int | None = None, anchored: bool = False) -> nn.Module:
            width, norm = self.config.model.width, self.config.critic.norm
            if style.critic == "resnet":
                return residual.Critic(shape=self.shape, width=width, norm=norm)
            return convolutional_critic(style, self.shape[0], width, norm)

    return Styled


def _layers(tanh: bool, bend: nn.Module, norm: str) -> tuple[Norm, nn.Module]:
    return NORMS[norm], nn.Tanh() if tanh else bend
