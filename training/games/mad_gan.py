"""Games of K generators, branches of one module, against one critic: MAD-GAN.  Ghosh et al. 2018.

N batch, M samples or packs that the critic judges, F features.  All generators move as one player, ``generator``, since
they share their first layers; each is trained on samples of its own, all of the same latents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from model.blocks import norm
from model.branches import Branched
from model.text import log_odds
from training.divergences import Divergence, softmax_critic, softmax_generator
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, judged, mixes, plainly, two_player

TINY = 1e-8  # beside the length of a feature vector, which may be 0


def mad_gan(
    generator: Branched,
    discriminator: nn.Module,
    *,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    label_smoothing: float = 1.0,
    apart: bool = False,
    see: See = plainly,
) -> Game:
    """The discriminator tells who made a sample, one of K generators or the data; each of them raises the data's class.

    Every class weighs the same, so that the best discriminator is (q_1, ..., q_K, p)/(p + sum q_i), and all generators
    together have learned the data where the mean of the q_i is p.  Ghosh et al. 2018, section 3.

    discriminator: to (M, K + 1) logits, the data's last.  critic_terms: of the log odds that a sample is real.
    label_smoothing: alpha, the target of real samples for their own class; the others share the rest.
    apart: whether the samples of each class are judged in a batch of their own.  Others as for ``two_player``.
    """
    k, odds = generator.branches, LogOdds(discriminator)

    judge = partial(judged, discriminator, apart=apart)

    def critic_objective(batch: Batch) -> Terms:
        real, fakes = see(batch.real, batch), of_each(generator, batch, see)
        of_real, *of_fakes = judge(real, *fakes)
        makers = torch.eye(k, dtype=real.dtype, device=real.device).repeat_interleave(len(real), dim=0)
        terms = {"softmax": softmax_critic(of_real, torch.cat(of_fakes), makers)}
        if label_smoothing < 1:
            # Of the cross-entropy with (1 - alpha)/K on every generator, what is not in that with 1 on the data.
            rest = of_real[:, -1] - of_real[:, :-1].mean(dim=1)
            terms["label_smoothing"] = (1 - label_smoothing) * rest.mean()
        for name, term in (critic_terms or {}).items():
            # Each generator's samples beside the same real ones.
            both = real.repeat(k, *[1] * (real.dim() - 1)), fakes.flatten(0, 1)
            terms[name] = term(odds, *both, mixes(batch, len(real)).repeat(k))
        return terms

    def generator_objective(batch: Batch) -> Terms:
        # The sum over generators: to each it is as if it were alone.
        return {"softmax": k * softmax_generator(torch.cat(judge(*of_each(generator, batch, see))))}

    return Game(
        players={"critic": discriminator, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
    )


def mad_gan_sim(
    generator: Branched,
    critic: nn.Module,
    divergence: Divergence,
    *,
    weight: float,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    apart: bool = False,
    see: See = plainly,
) -> Game:
    """The critic tells real samples from those of all generators; each of these keeps its own unlike the others'.

    Where a generator's ``advantage`` U is negative, it minimises its loss - weight * U, else its loss.
    weight: lambda.  critic: with ``features`` and ``read``.  Others as for ``two_player``, where every fake sample is
    of the generator that it drew.  Ghosh et al. 2018, appendix, MAD-GAN-Sim.
    """
    game = two_player(generator, critic, divergence, n_critic=n_critic, critic_terms=critic_terms, apart=apart, see=see)
    k = generator.branches
    features_of, read = (cast(Callable[[Tensor], Tensor], getattr(critic, name)) for name in ("features", "read"))

    def generator_objective(batch: Batch) -> Terms:
        fakes = of_each(generator, batch, see)
        shape = (k, fakes.shape[1])
        features = torch.cat([features_of(each) for each in (fakes if apart else [fakes.flatten(0, 1)])])
        scores = read(features)
        u = advantage(scores.sigmoid().view(shape), features.view(*shape, -1))
        return {
            divergence.name: k * divergence.generator(scores),
            "similarity": weight * relu(-u).mean(dim=1).sum(),
        }

    return replace(game, objective={**game.objective, "generator": generator_objective})


def of_each(generator: Branched, batch: Batch, see: See) -> Tensor:
    """What a critic is shown of each generator's samples of a batch, (K, M, ...), all of the same latents."""
    seen = see(generator.of_each(batch.latent).flatten(0, 1), batch)
    return seen.view(generator.branches, -1, *seen.shape[1:])


class LogOdds(nn.Module):
    """A critic, to one score a sample, of a discriminator of K + 1 classes: log D/(1 - D), D the data's probability."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, samples: Tensor) -> Tensor:
        return log_odds(self.discriminator(samples))


def advantage(scores: Tensor, features: Tensor) -> Tensor:
    """U_i = D(G_i) - mean over j != i of (D(G_j) + cos(phi(G_i), phi(G_j))), (K, M).

    scores: D, (K, M).  features: phi, (K, M, F); the cosine is that of two feature vectors, one sample's each.
    U_i is the i-th generator's: it raises its score and turns its features away, and moves no other by it.
    """
    k = len(scores)
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    units = features / norm(features.flatten(0, 1)).view(*scores.shape, 1).clamp(min=TINY)
    against = scores.detach() + torch.einsum("imf,jmf->ijm", units, units.detach())
    others = ~torch.eye(k, dtype=torch.bool, device=scores.device).unsqueeze(2)
    return scores - (against * others).sum(dim=1) / (k - 1)
