"""Games with all that a configuration asks of their players: what variants of one family share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from model.errors import ConfigurationError
from training.configuration import Config
from training.cures import sight
from training.divergences import Divergence, smoothed
from training.game import Game
from training.games.two_player import CriticTerm, two_player
from training.networks.roles import Roles
from training.penalties import (
    clip_weights,
    finite_difference_penalty,
    gradient_penalty,
    one_sided_penalty,
    r1,
    r2,
    zero_centred_penalty,
)

DCGAN_STEPS = {"n_critic": 1, "lr_generator": 2e-4, "lr_critic": 2e-4, "beta1": 0.5, "beta2": 0.999}

PENALTIES: dict[str, Callable[..., Tensor]] = {
    "two-sided": gradient_penalty,
    "one-sided": one_sided_penalty,
    "zero-centred": zero_centred_penalty,
    "finite-difference": finite_difference_penalty,
}


def play_for(
    divergence: Divergence,
    roles: Roles,
    config: Config,
    *,
    clipped: bool = False,
    turns_of: Callable[[int], tuple[str, ...]] | None = None,
) -> Game:
    """A generator against a critic for a divergence, with all that the configuration asks of either.

    clipped: whether the critic is held by clipping of its weights.
    turns_of: as in ``Game``.  Raises ConfigurationError if the configuration asks for what cannot be had together.
    """
    divergence, terms = smoothed(divergence, config.label_smoothing), slope_terms(config)
    generator, critic = roles.generator(), roles.critic()
    return two_player(
        generator,
        critic,
        divergence,
        n_critic=config.n_critic,
        critic_terms=terms,
        project=clipping(critic, config) if clipped else None,
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
        turns_of=turns_of,
    )


def slope_terms(config: Config) -> dict[str, CriticTerm]:
    """What the configured critic minimises on account of its slopes, by name.

    Raises ConfigurationError if there is such a term and the critic has batch norm, or a form and no penalty.
    """
    terms: dict[str, CriticTerm] = {}
    if config.penalty:
        name = "chord_penalty" if config.penalty_form == "finite-difference" else "gradient_penalty"
        terms[name] = partial(PENALTIES[config.penalty_form], weight=config.penalty, through=True)
    elif config.penalty_form != "two-sided":
        raise ConfigurationError(
            f"penalty_form = {config.penalty_form} is the form of a gradient penalty, and there is none here: "
            "ask for penalty above 0 as well"
        )
    if config.r1:
        terms["r1"] = partial(r1, weight=config.r1)
    if config.r2:
        terms["r2"] = partial(r2, weight=config.r2, through=True)
    if terms and config.critic.norm == "batch":
        raise ConfigurationError(
            f"critic.norm = batch cannot be had with {' and '.join(terms)}: that is of the slope at each sample, and "
            "under batch norm a score depends on the whole batch: ask for critic.norm = layer, or none"
        )
    return terms


def judged_apart(config: Config) -> bool:
    """Whether the configured critic must not see real and fake samples in one batch, since it compares them."""
    return config.critic.norm == "batch" or config.critic.minibatch_discrimination


def clipping(critic: nn.Module, config: Config) -> Callable[[], None]:
    """Weight clipping as configured.

    Raises ConfigurationError if the critic's weights are made of others, or if steps of it are looked ahead unclipped.
    """
    if config.unrolled:
        raise ConfigurationError(
            f"unrolled = {config.unrolled} cannot be had with weight clipping, since the steps ahead are not clipped: "
            "ask for unrolled = 0, or for another variant than wgan"
        )
    if config.critic.norm in ("weight", "spectral"):
        raise ConfigurationError(
            f"critic.norm = {config.critic.norm} cannot be had with weight clipping: not the weights are clipped, "
            "but what they are made of: ask for critic.norm = none, or for another variant than wgan"
        )
    return clip_weights(critic, config.clip)
