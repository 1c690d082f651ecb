"""What is played for: a loss of the critic and a loss of the generator, from scores alone.

Scores are (N,); losses are scalars to be minimised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class Divergence:
    """The two losses of a two-player game.  critic: of (real, fake) scores.  generator: of fake scores."""

    name: str
    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _wasserstein_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def _logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _minimax_generator(fake: Tensor) -> Tensor:
    return -softplus(fake).mean()


def _non_saturating_generator(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


wasserstein = Divergence("wasserstein", _wasserstein_critic, _wasserstein_generator)
"""E_q D - E_p D against -E_q D.  Arjovsky et al. 2017, Eq. 2."""

minimax = Divergence("minimax", _logistic_critic, _minimax_generator)
"""The zero-sum game.  Goodfellow et al. 2014, Eq. 1."""

non_saturating = Divergence("non_saturating", _logistic_critic, _non_saturating_generator)
"""The same critic; the generator raises log D instead.  Goodfellow et al. 2014, section 3."""
