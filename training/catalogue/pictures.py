"""Games of pictures: images that are made from others, in pairs or without, enlarged, or made from coarse to fine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, slope_terms
from training.conditions import without
from training.configuration import Config, refuse
from training.cures import sight
from training.divergences import least_squares, non_saturating, smoothed
from training.game import Game
from training.games import pyramid as levels
from training.games import translation as games
from training.layers import normalise_weights
from training.measures.pictures import label_preserved, label_preserved_both_ways, likeness
from training.networks.pyramid import Generator, critics
from training.networks.roles import Roles
from training.networks.translators import Enlarger, PatchCritic, ResNet


@variant(
    source="Isola et al. 2017",
    kinds=("image",),
    defaults={**DCGAN_STEPS, "data.pair": "edges", "model.width": 32},
    options=("l1",),
    measures=(label_preserved, likeness),
)
def pix2pix(roles: Roles, config: Config) -> Game:
    """Images from pictures that belong to them, judged in pairs and patch by patch, and held near by L1."""
    check_pairs(roles, config, together=True)
    return games.translation(
        roles.translator(),
        patch_critic(roles, labels=roles.labels),
        smoothed(non_saturating, config.label_smoothing),
        content={"l1": lambda made, image: config.l1 * l1_loss(made, image)},
        see=sight(config, roles.kind, roles.labels),
        **asked_of_critics(config),
    )


# Identity, of weight 5 in theirs where colours should stay, says the opposite of inversion, and is for other pairs.
@variant(
    source="Zhu et al. 2017",
    kinds=("image",),
    defaults={
        **{**DCGAN_STEPS, "lr_generator": 1e-3, "lr_critic": 5e-4, "batch_size": 16, "identity": 0.0},
        **{"data.pair": "invert", "data.unpaired": True, "model.width": 16, "model.depth": 1},
    },
    options=("cycle", "identity"),
    measures=(label_preserved_both_ways,),
)
def cyclegan(roles: Roles, config: Config) -> Game:
    """Images from pictures and back, with no two that belong together: the way there and back leads home."""
    check_pairs(roles, config)
    halves = least_squares()
    # Of the two losses Zhu et al. halve the critic's alone, and weigh the cycle against the whole of the generator's.
    squares = replace(halves, generator=lambda fake: 2 * halves.generator(fake))
    return games.cycle(
        ResNet(**sizes_of(roles), depth=config.model.depth),
        ResNet(**sizes_of(roles), depth=config.model.depth),
        patch_critic(roles),
        patch_critic(roles),
        smoothed(squares, config.label_smoothing),
        there_and_back=config.cycle,
        identity=config.identity,
        see=sight(config, roles.kind),
        **asked_of_critics(config),
    )


@variant(
    source="Ledig et al. 2017",
    kinds=("image",),
    defaults={"data.pair": "shrink", "n_critic": 1, "beta1": 0.9, "beta2": 0.999, "model.width": 32},
    options=("adversarial", "content_rounds"),
    measures=(label_preserved, likeness),
)
def srgan(roles: Roles, config: Config) -> Game:
    """Images from others of half their side: near them in the square, and then also real to a critic of images."""
    check_pairs(roles, config, together=True)
    if config.data.pair != "shrink":
        raise ConfigurationError(f"variant srgan enlarges, so data.pair must be shrink, got {config.data.pair}")
    see = sight(config, roles.kind)
    return games.translation(
        Enlarger(**sizes_of(roles), depth=config.model.depth),
        roles.critic(labels=0),
        smoothed(non_saturating, config.label_smoothing),
        content={"squared_error": mse_loss},
        adversarial=lambda batch: config.adversarial * (batch.round >= config.content_rounds),
        see=lambda samples, batch: see(without(samples, roles.labels), batch),
        **asked_of_critics(config),
    )


@variant(source="Denton et al. 2015", kinds=("image",), defaults={**DCGAN_STEPS, "model.width": 32})
def lapgan(roles: Roles, config: Config) -> Game:
    """A game for each level of a Laplacian pyramid: images are made coarse, and then finer and finer."""
    if roles.labels:
        raise ConfigurationError("variant lapgan is told of no labels or pictures: leave out data.condition, data.pair")
    check_plain(config)
    size, norm = config.model, config.critic.norm
    judging = critics(shape=roles.own, width=size.width, norm=norm)
    normalise_weights(judging, norm)
    return levels.pyramid(
        Generator(shape=roles.own, width=size.width, latent=size.latent),
        judging,
        smoothed(non_saturating, config.label_smoothing),
        see=sight(config, roles.kind),
        **asked_of_critics(config),
    )


def sizes_of(roles: Roles) -> dict[str, Any]:
    """What every translator is told."""
    size = roles.config.model
    return {"shape": roles.own, "width": size.width, "latent": size.latent, "labels": roles.labels}


def asked_of_critics(config: Config) -> dict[str, Any]:
    """How often critics move, and what they minimise besides a divergence."""
    return {"n_critic": config.n_critic, "critic_terms": slope_terms(config)}


def patch_critic(roles: Roles, labels: int = 0) -> nn.Module:
    """Images with K further channels to the mean score of their patches.  labels: K."""
    norm = roles.config.critic.norm
    critic = PatchCritic(shape=roles.own, width=roles.config.model.width, norm=norm, labels=labels)
    normalise_weights(critic, norm)
    return critic


def check_pairs(roles: Roles, config: Config, *, together: bool = False) -> None:
    """Raises ConfigurationError unless images stand beside pictures, or for what these games cannot have.

    together: whether the two must belong together.
    """
    if not roles.pictures:
        raise ConfigurationError(f"variant {config.variant} makes images from pictures: say which by data.pair")
    if together and config.data.unpaired:
        raise ConfigurationError(
            f"variant {config.variant} holds an image near the one that belongs to its picture, and under "
            "data.unpaired none does: leave it out, or ask for variant = cyclegan"
        )
    check_plain(config)


def check_plain(config: Config) -> None:
    """Raises ConfigurationError for what is of samples together, or of latents alone."""
    unfit = {
        f"critic.pack = {config.critic.pack}": config.critic.pack > 1,
        "critic.minibatch_discrimination": config.critic.minibatch_discrimination,
        f"generator.mixture = {config.generator.mixture}": config.generator.mixture > 1,
        "generator.virtual_batch_norm": config.generator.virtual_batch_norm,
    }
    why = "each of its images is made from another and judged with that, and so they are not to differ from one another"
    refuse(unfit, f"variant {config.variant}: {why}: leave it out")
