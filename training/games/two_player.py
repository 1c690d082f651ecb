"""The game of a generator against one critic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from training.divergences import Divergence
from training.game import Batch, Game, Terms

CriticTerm = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""A further term of the critic, of (critic, real, fake, mix)."""

See = Callable[[Tensor, Batch], Tensor]
"""What a critic is shown, (M, ...), of samples of a batch (N, ...), real or generated."""


def plainly(samples: Tensor, batch: Batch) -> Tensor:
    """The samples themselves."""
    return samples


def mixes(batch: Batch, seen: int) -> Tensor:
    """As many of the batch's mixes, (M,), spread evenly, so that those of ranks' parts are those of the whole batch."""
    return batch.mix[:: len(batch.mix) // seen]


def judged(judge: Callable[[Tensor], Tensor], *parts: Tensor, apart: bool) -> list[Tensor]:
    """What a critic gives of each of several parts.  apart: each in a batch of its own, which batch norm needs."""
    if apart:
        return [judge(part) for part in parts]
    # One forward over all is faster, and the same for a critic that keeps samples apart.
    return list(torch.split(judge(torch.cat(parts)), [len(part) for part in parts]))


def two_player(
    generator: nn.Module,
    critic: nn.Module,
    divergence: Divergence,
    *,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    project: Callable[[], None] | None = None,
    apart: bool = False,
    see: See = plainly,
    turns_of: Callable[[int], tuple[str, ...]] | None = None,
) -> Game:
    """A round is n_critic moves of the critic and one of the generator.

    critic_terms: what the critic minimises besides the divergence, by name.  project: follows each of its moves.
    apart: as for ``judged``.
    see: what the critic is shown of samples; terms are of that too, and of one ``mix`` for each.
    turns_of: as in ``Game``.
    """

    def critic_objective(batch: Batch) -> Terms:
        real, fake = see(batch.real, batch), see(generator(batch.latent), batch)
        terms = {divergence.name: divergence.critic(*judged(critic, real, fake, apart=apart))}
        for name, term in (critic_terms or {}).items():
            terms[name] = term(critic, real, fake, mixes(batch, len(real)))
        return terms

    def generator_objective(batch: Batch) -> Terms:
        return {divergence.name: divergence.generator(critic(see(generator(batch.latent), batch)))}

    return Game(
        players={"critic": critic, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
        project={"critic": project} if project else {},
        turns_of=turns_of,
    )
