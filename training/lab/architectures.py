"""The architectures that a robust way of training should not mind, for images of 8 x 8.

C channels of the images, W width, Z latent.  Each is that of Gulrajani et al. 2017, Figure 2, at a smaller scale: two
resolutions instead of five.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from model.branches import Branched
from training.networks.roles import Roles

SIDE = 8
Layer = Callable[[int], nn.Module]
"""What normalises so many channels, or nothing."""

NORMS: dict[str, Layer] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    # Over all of a sample's channels and places, as the paper's layer norm is.
    "layer": lambda channels: nn.GroupNorm(1, channels),
}


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


class Bottleneck(nn.Module):
    """x + 0.3 norm(conv1(relu(conv3(relu(conv1(relu(x))))))), three of a ResNet's layers; W to W channels."""

    def __init__(self, width: int, normalise: Layer) -> None:
        super().__init__()
        half = max(1, width // 2)
        layers = (nn.ReLU(), nn.Conv2d(width, half, 1), nn.ReLU(), nn.Conv2d(half, half, 3, padding=1))
        self.branch = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(half, width, 1, bias=False), normalise(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, 0.3 * self.branch(x))


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


def mlp_generator(channels: int, width: int, latent: int) -> Whole:
    """Four fully connected layers of 8 W, each with a ReLU."""
    sizes = (latent, *[8 * width] * 4)
    hidden = [layer for i in range(4) for layer in (nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU())]
    last = nn.Linear(8 * width, channels * SIDE**2)
    return Whole(latent, *hidden, last, nn.Tanh(), nn.Unflatten(1, (channels, SIDE, SIDE)))


def resnet_generator(channels: int, width: int, latent: int) -> Whole:
    """101 layers: a linear one, 16 bottlenecks at 4 x 4, 17 at 8 x 8, and one that makes the image."""
    blocks = [Bottleneck(width, nn.BatchNorm2d) for _ in range(33)]
    first = (nn.Linear(latent, width * 16), nn.Unflatten(1, (width, 4, 4)))
    up = nn.Upsample(scale_factor=2)
    return Whole(latent, *first, *blocks[:16], up, *blocks[16:], nn.Conv2d(width, channels, 1), nn.Tanh())


def resnet_critic(channels: int, width: int, norm: str) -> nn.Sequential:
    """101 layers: a convolution, 17 bottlenecks at 8 x 8, 16 at 4 x 4, and a linear one."""
    blocks = [Bottleneck(width, NORMS[norm]) for _ in range(33)]
    last = (nn.Flatten(), nn.Linear(width * 16, 1), nn.Flatten(0))
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), *blocks[:17], nn.AvgPool2d(2), *blocks[17:], *last)


def architecture(style: Style) -> type[Roles]:
    """Roles whose networks are of a style; the critic's norm is the configuration's critic.norm."""

    class Styled(Roles):
        def generator(self, heads: int = 0, *, labels: int | None = None) -> Branched:
            channels, size = self.shape[0], self.config.model
            if style.generator == "convolutions":
                return convolutional_generator(style, channels, size.width, size.latent)
            make = mlp_generator if style.generator == "mlp" else resnet_generator
            return make(channels, size.width, size.latent)

        def critic(self, outputs: int = 0, *, labels: int | None = None) -> nn.Module:
            channels, width, norm = self.shape[0], self.config.model.width, self.config.critic.norm
            if style.critic == "resnet":
                return resnet_critic(channels, width, norm)
            return convolutional_critic(style, channels, width, norm)

    return Styled


def _layers(tanh: bool, bend: nn.Module, norm: str) -> tuple[Layer, nn.Module]:
    return NORMS[norm], nn.Tanh() if tanh else bend
