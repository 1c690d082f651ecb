"""The game of a generator against one critic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from training.divergences import Divergence
from training.game import Batch, Game, Terms

CriticTerm = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""A further term of the critic, of (critic, real, fake, mix)."""


def two_player(
    generator: nn.Module,
    critic: nn.Module,
    divergence: Divergence,
    *,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    project: Callable[[], None] | None = None,
    apart: bool = False,
) -> Game:
    """A round is n_critic moves of the critic and one of the generator.

    critic_terms: what the critic minimises besides the divergence, by name.  project: follows each of its moves.
    apart: whether it judges real and fake in batches of their own, which batch norm needs.
    """

    def judge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if apart:
            return critic(real), critic(fake)
        # One forward over both is faster than two, and the same for a critic that keeps samples apart.
        scores: tuple[Tensor, Tensor] = critic(torch.cat([real, fake])).chunk(2)
        return scores

    def critic_objective(batch: Batch) -> Terms:
        fake = generator(batch.latent)
        terms = {divergence.name: divergence.critic(*judge(batch.real, fake))}
        for name, term in (critic_terms or {}).items():
            terms[name] = term(critic, batch.real, fake, batch.mix)
        return terms

    def generator_objective(batch: Batch) -> Terms:
        return {divergence.name: divergence.generator(critic(generator(batch.latent)))}

    return Game(
        players={"critic": critic, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
        project={"critic": project} if project else {},
    )
