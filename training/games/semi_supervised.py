"""The game of a generator against a critic that names labels, of which it is told few.  Salimans et al. 2016.

N batch, K labels, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from training.data.few import FewLabelled, parted
from training.game import Batch, Game, Terms
from training.games.two_player import CriticTerm, See, judged, mixes, plainly


def semi_supervised(
    generator: nn.Module,
    classifier: nn.Module,
    *,
    labels: int,
    labelled: int,
    seed: int,
    n_critic: int = 1,
    critic_terms: Mapping[str, CriticTerm] | None = None,
    label_smoothing: float = 1.0,
    apart: bool = False,
    see: See = plainly,
) -> Game:
    """The classifier names the labels of the few, and tells real samples from generated ones; features are matched.

    With logits l of the K labels, that of generated samples fixed at 0, and Z = log sum exp l, it minimises
    - log p(label | x) on the labelled + 1/2 E[sp(Z) - Z] on unlabelled real samples + 1/2 E sp(Z) on generated ones,
    which is the loss of a classifier of K + 1 classes.  The generator minimises ||E f(x) - E f(G(z))||^2, f the
    classifier's ``features``, of real samples without label.  Salimans et al. 2016, sections 3.1 and 5.

    classifier: samples by themselves to (N, K).  labels: K.  labelled, seed: as for ``FewLabelled.of``, whose pairs the
    batches are.  critic_terms: of Z.  label_smoothing: alpha, the target of real samples for being real.
    Others as for ``two_player``.
    """
    features_of = cast(Callable[[Tensor], Tensor], classifier.features)
    evidence = Evidence(classifier)

    def critic_objective(batch: Batch) -> Terms:
        *both, marks = parted(batch.real, labels)
        few, real, fake = (see(samples, batch) for samples in (both[1], both[0], generator(batch.latent)))
        of_few, *others = judged(classifier, few, real, fake, apart=apart)
        z_real, z_fake = (logits.logsumexp(dim=1) for logits in others)
        terms = {
            "labels": cross_entropy(of_few, marks),
            "real": on_real(z_real, label_smoothing),
            "fake": on_fake(z_fake),
        }
        for name, term in (critic_terms or {}).items():
            terms[name] = term(evidence, real, fake, mixes(batch, len(real)))
        return terms

    def generator_objective(batch: Batch) -> Terms:
        real, _, _ = parted(batch.real, labels)
        means = (mean_features(see(samples, batch)) for samples in (real, generator(batch.latent)))
        return {"feature_matching": torch.sub(*means).square().sum()}

    def mean_features(samples: Tensor) -> Tensor:
        features = features_of(samples)
        return features.to(torch.promote_types(features.dtype, torch.float32)).mean(dim=0)

    return Game(
        players={"critic": classifier, "generator": generator},
        objective={"critic": critic_objective, "generator": generator_objective},
        turns=("critic",) * n_critic + ("generator",),
        drawn=partial(FewLabelled.of, labelled=labelled, seed=seed),
    )


def supervised(
    classifier: nn.Module,
    spectator: nn.Module,
    *,
    labels: int,
    labelled: int,
    seed: int,
    moves: int,
    see: See = plainly,
) -> Game:
    """What ``semi_supervised`` is compared with: the classifier learns from the same labelled samples alone.

    spectator: the generator, which is not asked and does not move.  moves: of the classifier in a round.
    """

    def critic_objective(batch: Batch) -> Terms:
        _, few, marks = parted(batch.real, labels)
        return {"labels": cross_entropy(classifier(see(few, batch)), marks)}

    return Game(
        players={"critic": classifier, "generator": spectator},
        objective={"critic": critic_objective, "generator": lambda _: {}},
        turns=("critic",) * moves,
        drawn=partial(FewLabelled.of, labelled=labelled, seed=seed),
    )


def on_real(z: Tensor, alpha: float = 1.0) -> Tensor:
    """1/2 E[sp(Z) - alpha Z], Z (N,) of real samples."""
    return 0.5 * (softplus(-z) + (1 - alpha) * z).mean()


def on_fake(z: Tensor) -> Tensor:
    """1/2 E sp(Z), Z (N,) of generated samples."""
    return 0.5 * softplus(z).mean()


class Evidence(nn.Module):
    """A critic, to one score a sample, of a classifier: Z, the log odds that a sample is real."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, samples: Tensor) -> Tensor:
        logits: Tensor = self.classifier(samples)
        return logits.logsumexp(dim=1)
