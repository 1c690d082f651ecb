"""The games of a Laplacian pyramid, one a level, played as one: LAPGAN.  Denton et al. 2015."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from training.divergences import Divergence
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, plainly
from training.networks.pyramid import Generator, seen


def pyramid(
    generator: Generator,
    critics: nn.ModuleList,
    divergence: Divergence,
    *,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    see: See = plainly,
) -> Game:
    """Each level's generator makes the band-pass of a real low-pass, and a critic sees both; what all lose is summed.

    No level has a parameter of another, nor sees what another makes: so it is one game a level, and each player moves
    in all of them at once.  critics: from coarse to fine.  Others as for ``two_player``, for every level.
    """

    def critic_objective(batch: Batch) -> Terms:
        terms: Terms = {}
        levels = zip(critics, seen(batch.real), generator.levels(batch.latent, batch.real), strict=True)
        for critic, real, fake in levels:
            shown = see(real, batch), see(fake, batch)
            terms[f"{divergence.name}_{real.shape[-1]}"] = divergence.critic(*map(critic, shown))
            for name, term in (critic_terms or {}).items():
                terms[f"{name}_{real.shape[-1]}"] = term(critic, *shown, batch.mix)
        return terms

    def generator_objective(batch: Batch) -> Terms:
        made = generator.levels(batch.latent, batch.real)
        return {
            f"{divergence.name}_{fake.shape[-1]}": divergence.generator(critic(see(fake, batch)))
            for critic, fake in zip(critics, made, strict=True)
        }

    return Game(
        players={"critic": critics, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
    )
