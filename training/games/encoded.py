"""Games with a third player, an encoder, which finds a latent for a sample as the generator finds a sample for one.

N batch, Z latent, K labels.  Generator and encoder move in turns, each on a batch of its own: no pass through a network
serves the losses of both, so that one batch for both would save no more than drawing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from model.branches import Branched
from model.text import Generator as TextGenerator
from training.conditions import beside, without
from training.divergences import Divergence
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, judged, mixes, plainly
from training.networks.encoders import drawn

Objective = Callable[[Batch], Terms]


@dataclass(frozen=True)
class Judging:
    """A critic, and all that is asked of it: as for ``two_player``, whose arguments have the same names."""

    critic: nn.Module
    divergence: Divergence
    n_critic: int = 1
    critic_terms: Mapping[str, CriticTerm] = field(default_factory=dict)
    apart: bool = False
    see: See = plainly

    def scores(self, shown: Tensor, batch: Batch) -> Tensor:
        """What the critic gives of what it is shown, (N,)."""
        scores: Tensor = self.critic(self.see(shown, batch))
        return scores

    def game(
        self,
        sides: Callable[[Batch], tuple[Tensor, Tensor]],
        generator: tuple[Branched, Objective],
        encoder: tuple[nn.Module, Objective],
    ) -> Game:
        """The critic tells the two sides of a batch apart, of which the first scores high; the others have their own.

        A round is n_critic moves of the critic, one of the generator and one of the encoder.
        """

        def objective(batch: Batch) -> Terms:
            real, fake = (self.see(side, batch) for side in sides(batch))
            both = judged(self.critic, real, fake, apart=self.apart)
            terms = {self.divergence.name: self.divergence.critic(*both)}
            for name, term in self.critic_terms.items():
                terms[name] = term(self.critic, real, fake, mixes(batch, len(real)))
            return terms

        return Game(
            players={"critic": self.critic, "generator": generator[0], "encoder": encoder[0]},
            objective={"critic": objective, "generator": generator[1], "encoder": encoder[1]},
            turns=("critic",) * self.n_critic + ("generator", "encoder"),
        )


def paired(generator: Branched, encoder: nn.Module, judging: Judging) -> Game:
    """The critic tells (x, E(x)) from (G(z), z); both others minimise its loss with the two labels flipped.

    Where no critic can tell them, E is G's inverse, for each sample or in law.  Donahue et al. 2017, Eq. 3 and Theorem
    2; Dumoulin et al. 2017, Eq. 2 and section 2.4.  Of the flipped loss, sp(-D(G(z), z)) + sp(D(x, E(x))), each has the
    half that it can change.

    judging: for the logistic loss, by a critic of samples with Z more channels.  Slopes are those in the sample.
    """

    def encoded(batch: Batch) -> Tensor:
        return beside(batch.real, codes_of(encoder, generator, batch))

    def generated(batch: Batch) -> Tensor:
        return beside(generator(batch.latent), prior_of(generator, batch))

    def generator_objective(batch: Batch) -> Terms:
        return {"flipped": softplus(-judging.scores(generated(batch), batch)).mean()}

    def encoder_objective(batch: Batch) -> Terms:
        return {"flipped": softplus(judging.scores(encoded(batch), batch)).mean()}

    return judging.game(
        lambda batch: (encoded(batch), generated(batch)), (generator, generator_objective), (encoder, encoder_objective)
    )


def autoencoder(generator: Branched, encoder: nn.Module, judging: Judging, *, deviation: float, weight: float) -> Game:
    """Encoder and generator reconstruct samples; the critic tells latents of N(0, 1) from E(x), which fools it.

    The encoder minimises the ``surprise`` and ``weight`` times the divergence's loss.  Makhzani et al. 2016, section 2;
    a departure: they take a step along each of the two in turn, here the encoder steps along their sum.

    judging: by a critic of latents (N, Z).  deviation: as for ``surprise``.
    """

    def generator_objective(batch: Batch) -> Terms:
        return {"reconstruction": surprise(generator, codes_of(encoder, generator, batch), batch, deviation)}

    def encoder_objective(batch: Batch) -> Terms:
        codes = codes_of(encoder, generator, batch)
        fooling = weight * judging.divergence.generator(judging.scores(codes, batch))
        return {"reconstruction": surprise(generator, codes, batch, deviation), judging.divergence.name: fooling}

    return judging.game(
        lambda batch: (prior_of(generator, batch), codes_of(encoder, generator, batch)),
        (generator, generator_objective),
        (encoder, encoder_objective),
    )


def variational(generator: Branched, encoder: nn.Module, judging: Judging, *, deviation: float) -> Game:
    """The critic T tells (x, z), z of the encoder's law q(z|x), from (x, z), z of N(0, 1): T* = log q(z|x)/p(z).

    So E_q T is the divergence of q from the prior, whatever law that is, and generator and encoder minimise
    E_q [T(x, z) - log p(x|z)], which is nowhere below -log p(x).  Mescheder, Nowozin, Geiger 2017, Algorithm 1.

    judging: for the logistic loss, by a critic of samples with Z more channels.  deviation: as for ``surprise``.
    """

    def generator_objective(batch: Batch) -> Terms:
        return {"reconstruction": surprise(generator, codes_of(encoder, generator, batch), batch, deviation)}

    def encoder_objective(batch: Batch) -> Terms:
        codes = codes_of(encoder, generator, batch)
        ratio = judging.scores(beside(batch.real, codes), batch).mean()
        return {"reconstruction": surprise(generator, codes, batch, deviation), "divergence": ratio}

    def sides(batch: Batch) -> tuple[Tensor, Tensor]:
        codes, prior = codes_of(encoder, generator, batch), prior_of(generator, batch)
        return beside(batch.real, codes), beside(batch.real, prior)

    return judging.game(sides, (generator, generator_objective), (encoder, encoder_objective))


def codes_of(encoder: nn.Module, generator: Branched, batch: Batch) -> Tensor:
    """A latent that the encoder draws for each real sample, without its labels, (N, Z)."""
    return drawn(encoder, without(batch.real, generator.labels))


def prior_of(generator: Branched, batch: Batch) -> Tensor:
    """Latents of N(0, 1), (N, Z)."""
    return batch.latent[:, : generator.latent]


def surprise(generator: Branched, codes: Tensor, batch: Batch, deviation: float) -> Tensor:
    """-log p(x|z), (), the mean over the real samples x of a batch and their codes z, (N, Z); a constant is left out.

    Of text it is the cross-entropy of all characters.  Of images and points that of independent Gaussians about G(z),
    each of deviation s: ||x - G(z)||^2/(2 s^2).
    """
    latent = torch.cat([codes, batch.latent[:, generator.latent :]], dim=1)
    if isinstance(generator, TextGenerator):
        likely = generator.logits(latent).log_softmax(dim=2)
        return -(without(batch.real, generator.labels) * likely).sum(dim=(1, 2)).mean()
    apart = without(batch.real - generator(latent), generator.labels)
    return apart.flatten(1).square().sum(dim=1).mean() / (2 * deviation**2)
