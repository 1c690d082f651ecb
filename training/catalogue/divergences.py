"""A generator against one critic, for each of the divergences."""

from __future__ import annotations

from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, play_for
from training.configuration import Config
from training.divergences import (
    density_ratio,
    f_divergence,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    wasserstein,
)
from training.game import Game
from training.networks.roles import Roles


@variant(source="Gulrajani et al. 2017", penalised=True)
def wgan_gp(roles: Roles, config: Config) -> Game:
    """Wasserstein distance; the critic's slope is held at 1 by a gradient penalty."""
    return play_for(wasserstein, roles, config)


@variant(
    source="Arjovsky et al. 2017",
    defaults={"optimizer": "rmsprop", "lr_generator": 5e-5, "lr_critic": 5e-5, "beta2": 0.99, "n_critic": 5},
    options=("clip",),
)
def wgan(roles: Roles, config: Config) -> Game:
    """Wasserstein distance; the critic's weights are clipped, and it moves far before the generator does.

    It makes 100 moves in each of the first 25 rounds and in every 500th, as in the authors' code.
    """

    def turns_of(number: int) -> tuple[str, ...]:
        far = number < 25 or number % 500 == 0
        return ("critic",) * (max(100, config.n_critic) if far else config.n_critic) + ("generator",)

    return play_for(wasserstein, roles, config, clipped=True, turns_of=turns_of)


@variant(source="Goodfellow et al. 2014", defaults={"n_critic": 1})
def gan(roles: Roles, config: Config) -> Game:
    """Logistic loss, non-saturating generator, no constraint."""
    return play_for(non_saturating, roles, config)


@variant(source="Goodfellow et al. 2014", defaults={"n_critic": 1})
def minimax_gan(roles: Roles, config: Config) -> Game:
    """Logistic loss, zero sum: the generator learns little where the critic is sure."""
    return play_for(minimax, roles, config)


@variant(source="Mao et al. 2017", defaults=DCGAN_STEPS)
def lsgan(roles: Roles, config: Config) -> Game:
    """Least squares: scores of 1 for real samples and 0 for fake ones."""
    return play_for(least_squares(), roles, config)


@variant(source="Lim, Ye 2017; Miyato et al. 2018", defaults={**DCGAN_STEPS, "n_critic": 5, "beta1": 0.0, "beta2": 0.9})
def hinge_gan(roles: Roles, config: Config) -> Game:
    """Hinge loss: the critic stops caring once a sample is right by a margin."""
    return play_for(hinge, roles, config)


@variant(source="Nowozin et al. 2016", defaults=DCGAN_STEPS, options=("divergence",))
def f_gan(roles: Roles, config: Config) -> Game:
    """Any f-divergence by its variational bound: --set divergence=kl."""
    return play_for(f_divergence(config.divergence), roles, config)


@variant(source="Uehara et al. 2016", defaults=DCGAN_STEPS, options=("divergence",))
def density_ratio_gan(roles: Roles, config: Config) -> Game:
    """The critic fits p/q, the generator lowers the f-divergence that follows: --set divergence=pearson."""
    return play_for(density_ratio(config.divergence), roles, config)


@variant(source="Radford et al. 2016", kinds=("image",), defaults={**DCGAN_STEPS, "critic.norm": "batch"})
def dcgan(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN on strided convolutions with batch norm."""
    return play_for(non_saturating, roles, config)
