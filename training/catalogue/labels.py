"""Games that know labels, or find them."""

from __future__ import annotations

from model.branches import Branched
from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, judged_apart, play_for, slope_terms
from training.configuration import Config
from training.cures import sight
from training.divergences import non_saturating, smoothed
from training.game import Game
from training.games.informed import Miss, information_missed, informed, labels_missed
from training.layers import Recogniser
from training.measures.labels import cluster_accuracy, label_accuracy
from training.networks.roles import Roles

# Larger than DCGAN's, the critic's most: labels are obeyed in minutes, since the critic sees early that they are not.
STEPS = {**DCGAN_STEPS, "lr_generator": 5e-4, "lr_critic": 1e-3}


@variant(
    source="Mirza, Osindero 2014",
    defaults={**STEPS, "data.condition": True},
    measures=(label_accuracy,),
)
def cgan(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN of pairs: generator and discriminator are both told the label."""
    if not roles.labels:
        raise ConfigurationError("variant cgan needs labels: name them by data.label")
    return play_for(non_saturating, roles, config)


@variant(
    source="Odena et al. 2017",
    defaults={**STEPS, "data.condition": True},
    options=("label_weight",),
    measures=(label_accuracy,),
)
def ac_gan(roles: Roles, config: Config) -> Game:
    """The discriminator is told no label and finds it; the generator makes samples whose label it finds."""
    if not roles.labels:
        raise ConfigurationError("variant ac-gan needs labels: name them by data.label")
    of_fake, of_real = (
        labels_missed(name, config.model.latent, config.label_weight) for name in ("labels", "labels_of_real")
    )
    return _informed(roles, config, roles.generator(), roles.labels, of_fake, of_real)


@variant(
    source="Chen et al. 2016",
    defaults=STEPS,
    options=("codes", "continuous", "information"),
    measures=(cluster_accuracy,),
)
def infogan(roles: Roles, config: Config) -> Game:
    """Samples bear a code, which the critic reads off them; nobody says what it means: --set codes=10."""
    latent, k, c = config.model.latent, config.codes, config.continuous
    if config.critic.pack > 1:
        raise ConfigurationError(
            f"critic.pack = {config.critic.pack} cannot be had with infogan, since a pack would hold samples of "
            "several codes: ask for critic.pack = 1"
        )
    if c > latent:
        raise ConfigurationError(
            f"continuous must be at most model.latent = {latent}, of which they are a part, got {c}"
        )
    miss = information_missed(latent, k, config.information)
    return _informed(roles, config, roles.generator(codes=k), k + c, miss)


def _informed(
    roles: Roles, config: Config, generator: Branched, says: int, miss: Miss, miss_real: Miss | None = None
) -> Game:
    """A logistic game whose critic also says so many numbers of a sample, with all that the configuration asks."""
    return informed(
        generator,
        Recogniser(roles.critic(labels=0), says),
        smoothed(non_saturating, config.label_smoothing),
        miss,
        miss_real=miss_real,
        n_critic=config.n_critic,
        critic_terms=slope_terms(config),
        apart=judged_apart(config),
        see=sight(config, roles.kind),
    )
