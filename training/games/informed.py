"""Games in which the critic also says what a sample is of, and the generator helps it: AC-GAN and InfoGAN.

N batch, M samples that the critic judges, Z latent, K labels or codes, S numbers that the critic says, C coordinates.
What it says is a head on its last hidden layer (``Recogniser``), which is a part of the player ``critic`` and moves
when that does, as in InfoGAN's published code: the layers below are the critic's, and a parameter is of one player.  In
the paper Q moves with the generator; it minimises the same term there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log

from torch import Tensor
from torch.nn.functional import cross_entropy

from model.branches import Branched
from training.conditions import without
from training.divergences import Divergence
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, judged, mixes, plainly
from training.layers import Recogniser

Miss = Callable[[Tensor, Batch], Terms]
"""Terms, small where what is said of samples of a batch, (N, S), is what they are of."""


def informed(
    generator: Branched,
    critic: Recogniser,
    divergence: Divergence,
    miss: Miss,
    *,
    miss_real: Miss | None = None,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    apart: bool = False,
    see: See = plainly,
) -> Game:
    """A game of two players, both of whom also minimise what the critic misses of generated samples.

    The critic sees samples without the labels that they may come with.  miss_real: what it misses of real samples,
    which it alone minimises.  Others as for ``two_player``.
    """

    def seen(samples: Tensor, batch: Batch) -> Tensor:
        return see(without(samples, generator.labels), batch)

    def critic_objective(batch: Batch) -> Terms:
        real, fake = seen(batch.real, batch), seen(generator(batch.latent), batch)
        of_real, of_fake = judged(critic.features, real, fake, apart=apart)
        terms = {divergence.name: divergence.critic(critic.read(of_real), critic.read(of_fake))}
        terms |= miss(critic.recognise(of_fake), batch)
        if miss_real:
            terms |= miss_real(critic.recognise(of_real), batch)
        for name, term in (critic_terms or {}).items():
            terms[name] = term(critic, real, fake, mixes(batch, len(real)))
        return terms

    def generator_objective(batch: Batch) -> Terms:
        of_fake = critic.features(seen(generator(batch.latent), batch))
        terms = {divergence.name: divergence.generator(critic.read(of_fake))}
        return terms | miss(critic.recognise(of_fake), batch)

    return Game(
        players={"critic": critic, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
    )


def labels_missed(name: str, latent: int, weight: float) -> Miss:
    """The cross-entropy of the labels of a batch, which its real and its generated samples have in common, weighed.

    latent: Z.  Odena et al. 2017, Eq. 3, of which ``name`` says which of the two parts it is.
    """

    def miss(said: Tensor, batch: Batch) -> Terms:
        return {name: weight * cross_entropy(said, batch.latent[:, latent:])}

    return miss


def information_missed(latent: int, codes: int, weight: float) -> Miss:
    """-weight * L, L = E log Q(c | x) + H(c), a lower bound on what samples x tell of their codes, in nats.

    latent: Z.  codes: K; the first K numbers that are said are the logits of Q, and the C that follow are the means of
    the first C coordinates of the latent, of variance 1: these are codes too, each with a bound of its own.  L is at
    most log K, and 1/2 for a coordinate.  Chen et al. 2016, Eq. 5.

    A departure: the authors' continuous codes are uniform on (-1, 1).
    """

    def miss(said: Tensor, batch: Batch) -> Terms:
        logits, means = said.tensor_split([codes], dim=1)
        terms = {"information": weight * (cross_entropy(logits, batch.latent[:, latent:]) - log(codes))}
        if means.shape[1]:
            apart = means - batch.latent[:, : means.shape[1]]
            terms["continuous"] = 0.5 * weight * (apart.square() - 1).sum(dim=1).mean()
        return terms

    return miss
