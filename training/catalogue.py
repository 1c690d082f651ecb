"""The variants: each one short function from roles to a game.  A new function here is a new variant everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from model.errors import ConfigurationError
from training.configuration import Config
from training.data.dataset import Kind
from training.divergences import non_saturating, wasserstein
from training.game import Game
from training.games.two_player import two_player
from training.networks.roles import Roles
from training.penalties import clip_weights, gradient_penalty

Build = Callable[[Roles, Config], Game]


@dataclass(frozen=True)
class Variant:
    """An entry of the catalogue.

    source: the paper.  kinds: of data that it plays.  defaults: configuration that it wants where nobody says
    otherwise.  summary: the first line of the function's docstring.
    """

    name: str
    source: str
    kinds: tuple[Kind, ...]
    defaults: Mapping[str, Any]
    summary: str
    build: Build


CATALOGUE: dict[str, Variant] = {}


def variant(
    *, source: str, kinds: tuple[Kind, ...] = get_args(Kind), defaults: Mapping[str, Any] | None = None
) -> Callable[[Build], Build]:
    """Enter a function into the catalogue under its own name, with dashes."""

    def enter(build: Build) -> Build:
        name = build.__name__.replace("_", "-")
        summary = (build.__doc__ or "").partition("\n")[0]
        CATALOGUE[name] = Variant(name, source, kinds, defaults or {}, summary, build)
        return build

    return enter


def find_variant(name: str) -> Variant:
    """The entry of that name.  Raises ConfigurationError if there is none."""
    if name not in CATALOGUE:
        raise ConfigurationError(f"variant must be one of {', '.join(CATALOGUE)}, got {name!r}")
    return CATALOGUE[name]


def make_game(roles: Roles, config: Config) -> Game:
    """The configured variant, played by networks for this kind of data.

    Raises ConfigurationError if there is no such variant, or if it does not play this kind of data.
    """
    entry = find_variant(config.variant)
    if roles.kind not in entry.kinds:
        raise ConfigurationError(f"variant {entry.name} plays {', '.join(entry.kinds)}, and this data is {roles.kind}")
    return entry.build(roles, config)


@variant(source="Gulrajani et al. 2017")
def wgan_gp(roles: Roles, config: Config) -> Game:
    """Wasserstein distance; the critic's slope is held at 1 by a gradient penalty."""
    return two_player(
        roles.generator(),
        roles.critic(),
        wasserstein,
        n_critic=config.n_critic,
        critic_terms={"gradient_penalty": partial(gradient_penalty, weight=config.penalty)},
    )


@variant(source="Arjovsky et al. 2017", defaults={"n_critic": 5, "lr_generator": 5e-5, "lr_critic": 5e-5, "beta1": 0.0})
def wgan(roles: Roles, config: Config) -> Game:
    """Wasserstein distance; the critic's weights are clipped to +-0.01.  Adam without momentum for RMSProp."""
    critic = roles.critic()
    return two_player(roles.generator(), critic, wasserstein, n_critic=config.n_critic, project=clip_weights(critic))


@variant(source="Goodfellow et al. 2014")
def gan(roles: Roles, config: Config) -> Game:
    """Logistic loss, non-saturating generator, no constraint."""
    return two_player(roles.generator(), roles.critic(), non_saturating, n_critic=config.n_critic)


@variant(
    source="Radford et al. 2016",
    kinds=("image",),
    defaults={"n_critic": 1, "lr_generator": 2e-4, "lr_critic": 2e-4, "beta1": 0.5, "beta2": 0.999},
)
def dcgan(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN on strided convolutions with batch norm."""
    return two_player(
        roles.generator(), roles.critic(batch_norm=True), non_saturating, n_critic=config.n_critic, apart=True
    )
