"""Several generators against one critic."""

from __future__ import annotations

from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, judged_apart, slope_terms
from training.configuration import Config
from training.cures import sight
from training.divergences import non_saturating, smoothed
from training.game import Game
from training.games import mad_gan as games
from training.networks.roles import Roles


# The critic takes the larger steps: it has to know where each generator is, and each flees from where it is known.
@variant(source="Ghosh et al. 2018", defaults={**DCGAN_STEPS, "lr_critic": 1e-3}, options=("generators",))
def mad_gan(roles: Roles, config: Config) -> Game:
    """Several generators; the discriminator tells which of them made a sample: --set generators=4."""
    return games.mad_gan(
        roles.generator(heads=config.generators),
        roles.critic(outputs=config.generators + 1),
        n_critic=config.n_critic,
        critic_terms=slope_terms(config),
        label_smoothing=config.label_smoothing,
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
    )


@variant(source="Ghosh et al. 2018", defaults={"n_critic": 1}, options=("generators", "similarity"))
def mad_gan_sim(roles: Roles, config: Config) -> Game:
    """Several generators, each kept unlike the others in the critic's features: --set similarity=1."""
    return games.mad_gan_sim(
        roles.generator(heads=config.generators),
        roles.critic(),
        smoothed(non_saturating, config.label_smoothing),
        weight=config.similarity,
        n_critic=config.n_critic,
        critic_terms=slope_terms(config),
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
    )
