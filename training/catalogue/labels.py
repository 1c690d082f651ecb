"""Games that know labels, or find them."""

from __future__ import annotations

from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, play_for
from training.configuration import Config
from training.divergences import non_saturating
from training.game import Game
from training.measures.labels import label_accuracy
from training.networks.roles import Roles


@variant(
    source="Mirza, Osindero 2014",
    defaults={**DCGAN_STEPS, "data.condition": True},
    measures=(label_accuracy,),
)
def cgan(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN of pairs: generator and discriminator are both told the label."""
    if not roles.labels:
        raise ConfigurationError("variant cgan needs labels: name them by data.label")
    return play_for(non_saturating, roles, config)
