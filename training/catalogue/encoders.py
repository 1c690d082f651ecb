"""Games with an encoder: from samples back to latents."""

from __future__ import annotations

from typing import Any

from torch import nn

from model.branches import Branched
from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, judged_apart, slope_terms
from training.configuration import Config, refuse
from training.cures import sight
from training.data.dataset import Kind
from training.divergences import non_saturating, smoothed
from training.game import Game
from training.games import encoded as games
from training.games.encoded import Judging
from training.measures.encoding import reconstruction
from training.networks.encoders import GaussianEncoder, ImplicitEncoder
from training.networks.roles import Roles

# Steps of a thousandth, where DCGAN's are a fifth of it: who inverts whom is learned late.  Of more latents a critic
# sees at first little but that the encoder's are not of the prior.
STEPS: dict[str, Any] = {**DCGAN_STEPS, "lr_generator": 1e-3, "lr_critic": 1e-3, "model.latent": 16}


@variant(source="Donahue et al. 2017", defaults=STEPS, measures=(reconstruction,))
def bigan(roles: Roles, config: Config) -> Game:
    """Critic of pairs: a sample with its code, or a latent with the sample made of it; the encoder inverts."""
    return games.paired(decoder(roles), roles.encoder(config.model.latent), judging_pairs(roles))


@variant(source="Dumoulin et al. 2017", defaults=STEPS, measures=(reconstruction,))
def ali(roles: Roles, config: Config) -> Game:
    """BiGAN by an encoder that draws: it has a Gaussian of latents for each sample."""
    latent = config.model.latent
    encoder = GaussianEncoder(roles.encoder(2 * latent), latent)
    return games.paired(decoder(roles), encoder, judging_pairs(roles))


@variant(
    source="Makhzani et al. 2016",
    defaults=STEPS,
    options=("deviation", "regularisation"),
    measures=(reconstruction,),
)
def aae(roles: Roles, config: Config) -> Game:
    """Autoencoder whose critic tells codes from latents of N(0, 1): --set regularisation=10."""
    if config.critic.minibatch_discrimination:
        raise ConfigurationError(
            "critic.minibatch_discrimination is not for aae, whose critic judges latents: turn it off"
        )
    return games.autoencoder(
        decoder(roles),
        roles.encoder(config.model.latent),
        judging(roles.latent_critic(), config, "points"),
        deviation=config.deviation,
        weight=config.regularisation,
    )


@variant(
    source="Mescheder, Nowozin, Geiger 2017",
    defaults={**STEPS, "model.latent": 4},
    options=("deviation",),
    measures=(reconstruction,),
)
def avb(roles: Roles, config: Config) -> Game:
    """Variational autoencoder with codes of any law: the critic is their divergence from N(0, 1)."""
    check_unbent(config)
    size = config.model
    encoder = ImplicitEncoder(roles.encoder(size.width), size.width, size.latent)
    return games.variational(decoder(roles), encoder, judging_pairs(roles), deviation=config.deviation)


def check_unbent(config: Config) -> None:
    """Raises ConfigurationError for what makes another critic the best one than the log ratio of two laws."""
    biased = {
        f"label_smoothing = {config.label_smoothing:g}": config.label_smoothing < 1,
        f"instance_noise = {config.instance_noise:g}": config.instance_noise > 0,
        f"penalty = {config.penalty:g}": config.penalty > 0,
        f"r1 = {config.r1:g}": config.r1 > 0,
        f"r2 = {config.r2:g}": config.r2 > 0,
    }
    refuse(
        biased,
        "avb, whose critic is to be the log ratio of two laws itself: it is a part of the encoder's loss: leave it out",
    )


def decoder(roles: Roles) -> Branched:
    """A generator of latents.  Raises ConfigurationError if samples are made of more, of which a code says nothing."""
    config = roles.config
    more = {
        f"generator.mixture = {config.generator.mixture}": config.generator.mixture > 1,
        f"data.pair = {config.data.pair}": roles.pictures,
    }
    why = "samples would be made of more than the latent that its encoder finds: leave it out"
    refuse(more, f"{config.variant}: {why}")
    return roles.generator()


def judging_pairs(roles: Roles) -> Judging:
    """A critic of samples and latents beside them."""
    conditions = roles.labels + roles.config.model.latent
    return judging(roles.critic(labels=conditions), roles.config, roles.kind, conditions)


def judging(critic: nn.Module, config: Config, kind: Kind, conditions: int = 0) -> Judging:
    """The critic with what is configured.  conditions: channels without instance noise.

    Raises ConfigurationError for packs.
    """
    if config.critic.pack > 1:
        raise ConfigurationError(
            f"critic.pack = {config.critic.pack} cannot be had with {config.variant}, whose critic judges latents: "
            "ask for critic.pack = 1"
        )
    return Judging(
        critic,
        smoothed(non_saturating, config.label_smoothing),
        n_critic=config.n_critic,
        critic_terms=slope_terms(config),
        apart=judged_apart(config),
        see=sight(config, kind, conditions),
    )
