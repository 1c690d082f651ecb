"""What is played for: a loss of the critic and a loss of the generator, from scores alone.

N batch, K generators.  Scores are (N,), or (N, K + 1) of a softmax; losses are scalars to be minimised.  p is the law
of the data, q the generator's, sp the softplus, sigma the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log

from torch import Tensor
from torch.nn.functional import relu, softplus, tanh

from model.errors import ConfigurationError

LOG_2 = log(2.0)
STEEPEST = 20.0  # where an exponential goes on as its tangent: no ratio of densities that data can show is e^20


@dataclass(frozen=True)
class Divergence:
    """The two losses of a two-player game.  critic: of (real, fake) scores.  generator: of fake scores."""

    name: str
    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _raise_the_score(fake: Tensor) -> Tensor:
    return -fake.mean()


def _logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def _minimax_generator(fake: Tensor) -> Tensor:
    return -softplus(fake).mean()


def _non_saturating_generator(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


def _hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1 - real).mean() + relu(1 + fake).mean()


wasserstein = Divergence("wasserstein", _wasserstein_critic, _raise_the_score)
"""E_q D - E_p D against -E_q D.  Arjovsky et al. 2017, Eq. 2."""

minimax = Divergence("minimax", _logistic_critic, _minimax_generator)
"""The zero-sum game; sigma(D*) = p/(p + q).  Goodfellow et al. 2014, Eq. 1."""

non_saturating = Divergence("non_saturating", _logistic_critic, _non_saturating_generator)
"""The same critic; the generator raises log sigma(D) instead.  Goodfellow et al. 2014, section 3."""

hinge = Divergence("hinge", _hinge_critic, _raise_the_score)
"""E_p max(0, 1 - D) + E_q max(0, 1 + D) against -E_q D; D* = sign(p - q).  Lim and Ye 2017; Miyato et al. 2018."""


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Divergence:
    """1/2 E_p (D - b)^2 + 1/2 E_q (D - a)^2 against 1/2 E_q (D - c)^2; D* = (b p + a q)/(p + q).

    a, b: the critic's targets of fake and real.  c: the generator's.  Mao et al. 2017, Eq. 2; 0, 1, 1 is their Eq. 9,
    and -1, 1, 0, which minimises the Pearson divergence of (p + q)/2 and q, their Eq. 8.
    """

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - b).square().mean() + 0.5 * (fake - a).square().mean()

    return Divergence("least_squares", critic, lambda fake: 0.5 * (fake - c).square().mean())


def smoothed(divergence: Divergence, alpha: float) -> Divergence:
    """One-sided label smoothing: the target of real samples is alpha, that of fake ones stays 0.

    Then sigma(D*) = alpha p/(p + q); smoothing the fake side as well would put q into the numerator, and keep samples
    where there is no data.  alpha = 1 changes nothing.  Salimans et al. 2016, section 3.4.
    The target of least squares is alpha likewise, and D* = alpha p/(p + q).
    Raises ConfigurationError if the critic's loss has no targets.
    """
    if alpha == 1:
        return divergence
    if divergence.name == "least_squares":
        return replace(divergence, critic=least_squares(b=alpha).critic)
    if divergence.critic is not _logistic_critic:
        raise ConfigurationError(
            f"label_smoothing = {alpha:g} needs a loss with targets, logistic or least squares, and {divergence.name} "
            "has none: ask for label_smoothing = 1, or for a variant such as gan"
        )

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        return (alpha * softplus(-real) + (1 - alpha) * softplus(real)).mean() + softplus(fake).mean()

    return replace(divergence, critic=critic)


@dataclass(frozen=True)
class FDivergence:
    """D_f(p || q) = E_q f(p/q), f convex: the largest E_p T - E_q f*(T), which T = f'(p/q) reaches.

    f: of log u.  activation: T = g_f(v) of any score v, increasing in it.  conjugate: f*(g_f(v)), of v too, so that
    nothing overflows on the way.  score: the v whose T is f'(u), of log u; None where f' only says whether u > 1.
    Nowozin et al. 2016, Tables 1 and 2.
    """

    f: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    score: Callable[[Tensor], Tensor] | None


def exp(x: Tensor) -> Tensor:
    """e^x up to x = 20, and its tangent from there on: convex and finite for every score."""
    low = x.clamp(max=STEEPEST)
    return low.exp() * (1 + x - low)


F_DIVERGENCES: dict[str, FDivergence] = {
    # u log u;  v;  e^(t-1);  1 + log u
    "kl": FDivergence(
        f=lambda s: s * exp(s),
        activation=lambda v: v,
        conjugate=lambda v: exp(v - 1),
        score=lambda s: 1 + s,
    ),
    # -log u;  -e^(-v);  -1 - log(-t);  -1/u
    "reverse-kl": FDivergence(
        f=lambda s: -s,
        activation=lambda v: -exp(-v),
        conjugate=lambda v: v - 1,
        score=lambda s: s,
    ),
    # (u - 1)^2;  v;  t^2/4 + t;  2(u - 1)
    "pearson": FDivergence(
        f=lambda s: (exp(s) - 1).square(),
        activation=lambda v: v,
        conjugate=lambda v: v.square() / 4 + v,
        score=lambda s: 2 * (exp(s) - 1),
    ),
    # (sqrt(u) - 1)^2;  1 - e^(-v);  t/(1-t);  1 - 1/sqrt(u)
    "squared-hellinger": FDivergence(
        f=lambda s: (exp(s / 2) - 1).square(),
        activation=lambda v: 1 - exp(-v),
        conjugate=lambda v: exp(v) - 1,
        score=lambda s: s / 2,
    ),
    # u log u - (u+1) log((u+1)/2);  log 2 - log(1 + e^(-v));  -log(2 - e^t);  log(2u/(u+1)).  Twice the usual JS.
    "jensen-shannon": FDivergence(
        f=lambda s: exp(s) * (LOG_2 - softplus(-s)) + LOG_2 - softplus(s),
        activation=lambda v: LOG_2 - softplus(-v),
        conjugate=lambda v: softplus(v) - LOG_2,
        score=lambda s: s,
    ),
    # u log u - (u+1) log(u+1);  -log(1 + e^(-v));  -log(1 - e^t);  log(u/(u+1)).  The one above less log 4.
    "gan": FDivergence(
        f=lambda s: -exp(s) * softplus(-s) - softplus(s),
        activation=lambda v: -softplus(-v),
        conjugate=softplus,
        score=lambda s: s,
    ),
    # |u - 1|/2;  tanh(v)/2;  t;  sign(u - 1)/2
    "total-variation": FDivergence(
        f=lambda s: (exp(s) - 1).abs() / 2,
        activation=lambda v: tanh(v) / 2,
        conjugate=lambda v: tanh(v) / 2,
        score=None,
    ),
}
"""By name.  Above each: f(u);  g_f(v);  f*(t);  T* = f'(u)."""


def f_divergence(name: str) -> Divergence:
    """The critic raises and the generator lowers E_p T - E_q f*(T), where T = g_f(score).

    Nowozin et al. 2016, Eq. 6 and 7.
    """
    of = F_DIVERGENCES[name]

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        return of.conjugate(fake).mean() - of.activation(real).mean()

    return Divergence(name.replace("-", "_"), critic, lambda fake: -of.conjugate(fake).mean())


def density_ratio(name: str) -> Divergence:
    """The critic fits r = e^score to p/q by E_q [f'(r) r - f(r)] - E_p f'(r); the generator lowers E_q f(r).

    The critic's loss is f-GAN's with T = f'(r), since f'(r) r - f(r) = f*(f'(r)); the generator minimises the estimate
    of the divergence itself.  Uehara et al. 2016, b-GAN, Algorithm 1.
    Raises ConfigurationError for the total variation, from whose f' a ratio cannot be learned.
    """
    of = F_DIVERGENCES[name]
    if (score := of.score) is None:
        raise ConfigurationError(
            f"density-ratio-gan cannot play for divergence = {name}: its f' says whether p/q exceeds 1, and has no "
            "slope to learn a ratio by: ask for another divergence, or for the variant f-gan"
        )

    def critic(real: Tensor, fake: Tensor) -> Tensor:
        return of.conjugate(score(fake)).mean() - of.activation(score(real)).mean()

    return Divergence(f"{name.replace('-', '_')}_ratio", critic, lambda fake: of.f(fake).mean())


def softmax_critic(real: Tensor, fake: Tensor, maker: Tensor) -> Tensor:
    """The cross-entropy of K + 1 classes on who made a sample: the K generators, and last the data.

    real: (N, K + 1) logits.  fake: (M, K + 1).  maker: (M, K), the one-hot rows of who made them, each generator as
    likely as any other.  Each class weighs the same, as k fake batches to a real one would: so the mean over fake
    samples, whoever made them, is taken K times.  Ghosh et al. 2018, MAD-GAN, section 3; at the optimum
    softmax = (q_1, ..., q_K, p)/(p + sum q_i).
    """
    of_maker = (fake.log_softmax(dim=1)[:, :-1] * maker).sum(dim=1)
    return -real.log_softmax(dim=1)[:, -1].mean() - maker.shape[1] * of_maker.mean()


def softmax_generator(fake: Tensor) -> Tensor:
    """-E log D, D the probability of the data's class, of (M, K + 1) logits; E log(1 - D) would saturate.

    Of that other form is the game's value, E_p log D + sum E_(q_i) log(1 - D), which is least where the q_i have the
    mean p: -(K+1) log(K+1) + K log K.  Ghosh et al. 2018, Eq. 2 and Theorem 1.
    """
    return -fake.log_softmax(dim=1)[:, -1].mean()
