"""Games that learn to name labels of which they are told few."""

from __future__ import annotations

from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, judged_apart, slope_terms
from training.configuration import Config
from training.cures import sight
from training.game import Game
from training.games import semi_supervised as games
from training.measures.classifying import classification_error
from training.networks.roles import Roles


@variant(
    source="Salimans et al. 2016",
    defaults={**DCGAN_STEPS, "lr_generator": 1e-3, "lr_critic": 1e-3, "data.condition": True},
    options=("labelled",),
    measures=(classification_error,),
)
def semi_supervised_gan(roles: Roles, config: Config) -> Game:
    """The discriminator learns labels from few samples, and from telling what is real: --set labelled=20."""
    if not roles.labels:
        raise ConfigurationError("variant semi-supervised-gan needs labels: name them by data.label")
    return games.semi_supervised(
        roles.generator(labels=0),
        roles.critic(outputs=roles.labels, labels=0, anchored=True),
        labels=roles.labels,
        labelled=config.labelled,
        seed=config.data.seed,
        n_critic=config.n_critic,
        critic_terms=slope_terms(config),
        label_smoothing=config.label_smoothing,
        apart=judged_apart(config),
        see=sight(config, roles.kind),
    )
