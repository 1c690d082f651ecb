"""Games that make samples of texts: captions, or labels in their place."""

from __future__ import annotations

from typing import Any

from torch import nn

from model.errors import ConfigurationError
from training.catalogue.entry import variant
from training.catalogue.playing import DCGAN_STEPS, judged_apart, play_for, slope_terms
from training.configuration import Config, GeneratorConfig
from training.cures import sight
from training.divergences import non_saturating
from training.game import Game
from training.games.captioned import interpolated, matching, wrong_text
from training.games.two_player import two_player
from training.layers import MinibatchDiscrimination, normalise_weights
from training.measures.captions import box_overlap, caption_accuracy
from training.networks.captioned import BOX, WhatWhereCritic, WhatWhereGenerator
from training.networks.roles import Roles

# Larger steps than the paper's, and narrow networks: for small images, and minutes of a CPU.
LEARNED = {**DCGAN_STEPS, "lr_generator": 4e-4, "lr_critic": 4e-4, "model.width": 32, "data.condition": True}


@variant(source="Reed et al. 2016a", defaults=LEARNED, measures=(caption_accuracy,))
def gan_cls(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN of pairs whose critic also sees real samples beside wrong texts (GAN-CLS)."""
    _check_texts(roles, config)
    return _matched(roles, config, roles.generator(), roles.critic(), roles.labels)


@variant(source="Reed et al. 2016a", defaults=LEARNED, measures=(caption_accuracy,))
def gan_int(roles: Roles, config: Config) -> Game:
    """Non-saturating GAN of pairs whose generator also makes samples of texts between two (GAN-INT)."""
    _check_texts(roles, config)
    return interpolated(play_for(non_saturating, roles, config), sight(config, roles.kind, roles.labels))


@variant(source="Reed et al. 2016a", defaults=LEARNED, measures=(caption_accuracy,))
def gan_int_cls(roles: Roles, config: Config) -> Game:
    """Both: wrong texts for the critic, texts between two for the generator (GAN-INT-CLS)."""
    return interpolated(gan_cls(roles, config), sight(config, roles.kind, roles.labels))


@variant(
    source="Reed et al. 2016b",
    kinds=("image",),
    defaults={**LEARNED, "lr_generator": 1e-3, "lr_critic": 1e-3, "model.width": 16, "data.boxes": True},
    measures=(caption_accuracy, box_overlap),
)
def gawwn(roles: Roles, config: Config) -> Game:
    """GAN-CLS that is told what by a text and where by a box, into which a spatial transformer puts it."""
    if not roles.labels or not config.data.boxes:
        raise ConfigurationError("variant gawwn needs texts and boxes: learn builtin:shapes with data.boxes = true")
    if config.generator != GeneratorConfig():
        raise ConfigurationError("variant gawwn has a generator of its own: leave out generator.*")
    size, norm, words = config.model, config.critic.norm, roles.labels - BOX
    told: dict[str, Any] = {"shape": roles.own, "width": size.width, "words": words}
    critic = WhatWhereCritic(**told, norm=norm)
    judging = MinibatchDiscrimination(critic) if config.critic.minibatch_discrimination else critic
    normalise_weights(judging, norm)
    return _matched(roles, config, WhatWhereGenerator(**told, latent=size.latent), judging, words)


def _matched(roles: Roles, config: Config, generator: nn.Module, critic: nn.Module, words: int) -> Game:
    """A game of pairs whose critic also sees wrong ones.  words: W, what of a sample's conditions is its text."""
    return two_player(
        generator,
        critic,
        matching(config.label_smoothing),
        n_critic=config.n_critic,
        critic_terms={"wrong_text": wrong_text(roles.labels, words), **slope_terms(config)},
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
    )


def _check_texts(roles: Roles, config: Config) -> None:
    """Raises ConfigurationError if samples are made of nothing, or of whole pictures."""
    if not roles.labels or config.data.pair:
        raise ConfigurationError(
            f"variant {config.variant} needs texts: learn builtin:shapes by its captions, or name labels by data.label"
        )
