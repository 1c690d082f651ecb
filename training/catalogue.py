"""The variants: each one short function from roles to a game.  A new function here is a new variant everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from torch import Tensor, nn

from model.errors import ConfigurationError
from training.configuration import Config
from training.cures import cured, sight
from training.data.dataset import Kind
from training.divergences import (
    Divergence,
    density_ratio,
    f_divergence,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    smoothed,
    wasserstein,
)
from training.game import Game
from training.games import mad_gan as several
from training.games.two_player import CriticTerm, two_player
from training.layers import power_iterated
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

Build = Callable[[Roles, Config], Game]

PENALTIES: dict[str, Callable[..., Tensor]] = {
    "two-sided": gradient_penalty,
    "one-sided": one_sided_penalty,
    "zero-centred": zero_centred_penalty,
    "finite-difference": finite_difference_penalty,
}
DCGAN_STEPS = {"n_critic": 1, "lr_generator": 2e-4, "lr_critic": 2e-4, "beta1": 0.5, "beta2": 0.999}


@dataclass(frozen=True)
class Variant:
    """An entry of the catalogue.

    source: the paper.  kinds: of data that it plays.  defaults: configuration that it wants where nobody says
    otherwise.  options: keys that some variants obey, and this one among them; all others every variant obeys.
    summary: the first line of the function's docstring.
    """

    name: str
    source: str
    kinds: tuple[Kind, ...]
    defaults: Mapping[str, Any]
    options: tuple[str, ...]
    summary: str
    build: Build


CATALOGUE: dict[str, Variant] = {}


def variant(
    *,
    source: str,
    kinds: tuple[Kind, ...] = get_args(Kind),
    defaults: Mapping[str, Any] | None = None,
    options: tuple[str, ...] = (),
) -> Callable[[Build], Build]:
    """Enter a function into the catalogue under its own name, with dashes."""

    def enter(build: Build) -> Build:
        name = build.__name__.replace("_", "-")
        summary = (build.__doc__ or "").partition("\n")[0]
        CATALOGUE[name] = Variant(name, source, kinds, defaults or {}, options, summary, build)
        return build

    return enter


def find_variant(name: str) -> Variant:
    """The entry of that name.  Raises ConfigurationError if there is none."""
    if name not in CATALOGUE:
        raise ConfigurationError(f"variant must be one of {', '.join(CATALOGUE)}, got {name!r}")
    return CATALOGUE[name]


def check_obeyed(entry: Variant, asked: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if a person asked for a key that this variant does not obey, and others do."""
    for key, value in asked.items():
        obeying = [each.name for each in CATALOGUE.values() if key in each.options]
        if obeying and entry.name not in obeying:
            raise ConfigurationError(
                f"{key} = {value} has no effect on variant {entry.name}, only on {' and '.join(obeying)}: leave it out"
            )


def make_game(roles: Roles, config: Config) -> Game:
    """The configured variant with the configured cures, played by networks for this kind of data.

    Raises ConfigurationError if there is no such variant, if it does not play this kind of data, or if it cannot obey
    what is configured.
    """
    entry = find_variant(config.variant)
    if roles.kind not in entry.kinds:
        raise ConfigurationError(f"variant {entry.name} plays {', '.join(entry.kinds)}, and this data is {roles.kind}")
    return power_iterated(cured(entry.build(roles, config), config, sight(config, roles.kind, roles.labels)))


def play_for(
    divergence: Divergence,
    roles: Roles,
    config: Config,
    *,
    penalised: bool = False,
    clipped: bool = False,
    turns_of: Callable[[int], tuple[str, ...]] | None = None,
) -> Game:
    """A generator against a critic for a divergence, with all that the configuration asks of either.

    penalised, clipped: whether the critic is held by a gradient penalty, by clipping of its weights.
    turns_of: as in ``Game``.  Raises ConfigurationError if the configuration asks for what cannot be had together.
    """
    divergence, terms = smoothed(divergence, config.label_smoothing), slope_terms(config, penalised=penalised)
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


def slope_terms(config: Config, *, penalised: bool) -> dict[str, CriticTerm]:
    """What the configured critic minimises on account of its slopes, by name.

    Raises ConfigurationError if there is such a term and the critic has batch norm, or a form and no penalty.
    """
    terms: dict[str, CriticTerm] = {}
    if penalised and config.penalty:
        name = "chord_penalty" if config.penalty_form == "finite-difference" else "gradient_penalty"
        terms[name] = partial(PENALTIES[config.penalty_form], weight=config.penalty)
    elif config.penalty_form != "two-sided":
        raise ConfigurationError(
            f"penalty_form = {config.penalty_form} is the form of a gradient penalty, and there is none here: "
            "ask for variant = wgan-gp with penalty above 0"
        )
    for key, weight, term in (("r1", config.r1, r1), ("r2", config.r2, r2)):
        if weight:
            terms[key] = partial(term, weight=weight)
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
    """Weight clipping as configured.  Raises ConfigurationError if the critic's weights are made of others."""
    if config.critic.norm in ("weight", "spectral"):
        raise ConfigurationError(
            f"critic.norm = {config.critic.norm} cannot be had with weight clipping: not the weights are clipped, "
            "but what they are made of: ask for critic.norm = none, or for another variant than wgan"
        )
    return clip_weights(critic, config.clip)


@variant(source="Gulrajani et al. 2017", options=("penalty", "penalty_form"))
def wgan_gp(roles: Roles, config: Config) -> Game:
    """Wasserstein distance; the critic's slope is held at 1 by a gradient penalty."""
    return play_for(wasserstein, roles, config, penalised=True)


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


# The critic takes the larger steps: it has to know where each generator is, and each flees from where it is known.
@variant(source="Ghosh et al. 2018", defaults={**DCGAN_STEPS, "lr_critic": 1e-3}, options=("generators",))
def mad_gan(roles: Roles, config: Config) -> Game:
    """Several generators; the discriminator tells which of them made a sample: --set generators=4."""
    return several.mad_gan(
        roles.generator(heads=config.generators),
        roles.critic(outputs=config.generators + 1),
        n_critic=config.n_critic,
        critic_terms=slope_terms(config, penalised=False),
        label_smoothing=config.label_smoothing,
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
    )


@variant(source="Ghosh et al. 2018", defaults={"n_critic": 1}, options=("generators", "similarity"))
def mad_gan_sim(roles: Roles, config: Config) -> Game:
    """Several generators, each kept unlike the others in the critic's features: --set similarity=1."""
    return several.mad_gan_sim(
        roles.generator(heads=config.generators),
        roles.critic(),
        smoothed(non_saturating, config.label_smoothing),
        weight=config.similarity,
        n_critic=config.n_critic,
        critic_terms=slope_terms(config, penalised=False),
        apart=judged_apart(config),
        see=sight(config, roles.kind, roles.labels),
    )
