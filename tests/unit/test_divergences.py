"""Divergences in closed form, and their critics at the optimum on discrete distributions."""

from __future__ import annotations

import math

import pytest
import torch
from discrete import FAKE as AT_FAKE
from discrete import REAL as AT_REAL
from discrete import P, Q, minimised
from torch import Tensor
from torch.nn.functional import logsigmoid

from model.errors import ConfigurationError
from training.divergences import (
    F_DIVERGENCES,
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

REAL = torch.tensor([1.0, 3.0, -0.5], dtype=torch.float64)
FAKE = torch.tensor([0.0, 2.0, 0.5, -4.0], dtype=torch.float64)
LOGISTIC = [minimax, non_saturating]
ALL = [
    wasserstein, *LOGISTIC, smoothed(minimax, 0.9), hinge, least_squares(), least_squares(-1.0, 1.0, 0.0),
    *(f_divergence(name) for name in F_DIVERGENCES),
    *(density_ratio(name) for name, of in F_DIVERGENCES.items() if of.score),
]  # fmt: skip


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_wasserstein_is_the_difference_of_means() -> None:
    assert float(wasserstein.critic(REAL, FAKE)) == pytest.approx(-0.375 - 3.5 / 3)
    assert float(wasserstein.generator(FAKE)) == pytest.approx(0.375)


@pytest.mark.parametrize("divergence", LOGISTIC, ids=lambda d: d.name)
def test_the_logistic_critic_minimises_minus_log_likelihood_of_both_labels(divergence: Divergence) -> None:
    expected = -sum(math.log(sigma(x)) for x in REAL.tolist()) / 3
    expected -= sum(math.log(1 - sigma(x)) for x in FAKE.tolist()) / 4
    assert float(divergence.critic(REAL, FAKE)) == pytest.approx(expected, rel=1e-12)


def test_the_minimax_generator_minimises_log_one_minus_d() -> None:
    expected = sum(math.log(1 - sigma(x)) for x in FAKE.tolist()) / 4
    assert float(minimax.generator(FAKE)) == pytest.approx(expected, rel=1e-12)


def test_the_non_saturating_generator_maximises_log_d() -> None:
    expected = -sum(math.log(sigma(x)) for x in FAKE.tolist()) / 4
    assert float(non_saturating.generator(FAKE)) == pytest.approx(expected, rel=1e-12)


def test_minimax_and_non_saturating_have_one_critic() -> None:
    assert torch.equal(minimax.critic(REAL, FAKE), non_saturating.critic(REAL, FAKE))


@pytest.mark.parametrize("divergence", [wasserstein, minimax], ids=lambda d: d.name)
def test_the_game_is_zero_sum_in_the_fake_scores(divergence: Divergence) -> None:
    fake = FAKE.clone().requires_grad_()
    (of_critic,) = torch.autograd.grad(divergence.critic(REAL, fake), fake)
    (of_generator,) = torch.autograd.grad(divergence.generator(fake), fake)
    torch.testing.assert_close(of_generator, -of_critic, rtol=1e-14, atol=0)


def test_only_the_minimax_generator_saturates_where_the_critic_is_sure() -> None:
    def pull(divergence: Divergence, score: float) -> float:
        fake = torch.tensor([score], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(divergence.generator(fake), fake)
        return float(gradient)

    for score in (-20.0, -3.0, 0.0, 3.0):
        assert pull(minimax, score) == pytest.approx(-sigma(score), rel=1e-9)
        assert pull(non_saturating, score) == pytest.approx(-sigma(-score), rel=1e-9)
        assert pull(wasserstein, score) == -1.0


def optimal_scores(divergence: Divergence) -> tuple[Tensor, float]:
    """Scores of five points that minimise the critic's loss on p and q, and that loss."""
    return minimised(lambda scores: divergence.critic(scores[AT_REAL], scores[AT_FAKE]), 5)


@pytest.mark.parametrize("divergence", LOGISTIC, ids=lambda d: d.name)
def test_the_optimal_discriminator_is_p_over_p_plus_q(divergence: Divergence) -> None:
    scores, loss = optimal_scores(divergence)
    assert scores.sigmoid().tolist() == pytest.approx((P / (P + Q)).tolist(), abs=1e-6)
    middle = (P + Q) / 2
    jensen_shannon = float((P * (P / middle).log() + Q * (Q / middle).log()).sum()) / 2
    assert loss == pytest.approx(2 * math.log(2) - 2 * jensen_shannon, abs=1e-7)


def test_at_the_optimum_the_minimax_generator_minimises_the_jensen_shannon_divergence() -> None:
    scores, loss = optimal_scores(minimax)
    # Up to the real half, which the generator cannot change, its loss is minus the critic's.
    half = -logsigmoid(scores[AT_REAL]).mean()
    assert float(minimax.generator(scores[AT_FAKE])) == pytest.approx(float(half) - loss, abs=1e-12)


@pytest.mark.parametrize(("a", "b", "c"), [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (0.0, 0.9, 1.0)])
def test_the_optimal_least_squares_critic_is_the_mean_of_its_targets(a: float, b: float, c: float) -> None:
    scores, loss = optimal_scores(least_squares(a, b, c))
    assert scores.tolist() == pytest.approx(((b * P + a * Q) / (P + Q)).tolist(), abs=1e-6)
    assert loss == pytest.approx(float((P * Q / (P + Q)).sum()) * (b - a) ** 2 / 2, abs=1e-9)
    assert float(least_squares(a, b, c).generator(FAKE)) == pytest.approx(float((FAKE - c).square().mean()) / 2)


def test_least_squares_with_targets_minus_one_one_and_zero_are_pearsons_divergence() -> None:
    game = least_squares(-1.0, 1.0, 0.0)
    scores, _ = optimal_scores(game)
    # Of the generator's loss on real samples too, which it cannot change: Mao et al. 2017, Theorem 1.
    both = game.generator(scores[AT_REAL]) + game.generator(scores[AT_FAKE])
    middle = (P + Q) / 2
    assert float(both) == pytest.approx(float(((2 * middle - 2 * Q).square() / (2 * middle)).sum()) / 2, abs=1e-9)


def test_the_optimal_hinge_critic_is_the_sign_and_its_loss_the_overlap() -> None:
    scores = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    for step in torch.linspace(0.1, 0, 200):
        (gradient,) = torch.autograd.grad(hinge.critic(scores[AT_REAL], scores[AT_FAKE]), scores)
        with torch.no_grad():
            scores -= step * gradient.sign()
    assert scores.tolist() == pytest.approx((P - Q).sign().tolist(), abs=1e-3)
    loss = float(hinge.critic(scores[AT_REAL], scores[AT_FAKE]).detach())
    assert loss == pytest.approx(2 * float(torch.minimum(P, Q).sum()), abs=1e-3)
    assert float(hinge.generator(FAKE)) == float(wasserstein.generator(FAKE))


@pytest.mark.parametrize("alpha", [0.9, 0.7])
@pytest.mark.parametrize("divergence", LOGISTIC, ids=lambda d: d.name)
def test_smoothing_scales_the_optimal_discriminator_by_alpha(divergence: Divergence, alpha: float) -> None:
    game = smoothed(divergence, alpha)
    scores, _ = optimal_scores(game)
    assert scores.sigmoid().tolist() == pytest.approx((alpha * P / (P + Q)).tolist(), abs=1e-6)
    assert game.generator is divergence.generator


def test_smoothing_leaves_the_fake_side_alone() -> None:
    fake = FAKE.clone().requires_grad_()
    pulls = [torch.autograd.grad(game.critic(REAL, fake), fake) for game in (minimax, smoothed(minimax, 0.9))]
    assert torch.equal(*(pull for (pull,) in pulls))


@pytest.mark.parametrize(
    "divergence",
    [wasserstein, hinge, f_divergence("gan"), density_ratio("kl")],
    ids=lambda d: d.name,
)
def test_only_logistic_losses_have_labels_to_smooth(divergence: Divergence) -> None:
    with pytest.raises(ConfigurationError, match=r"label_smoothing = 0\.9 needs a loss with targets"):
        smoothed(divergence, 0.9)
    assert smoothed(divergence, 1.0) is divergence


@pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)
@pytest.mark.parametrize("size", [1e4, 100.0, 20.0, 0.0])
def test_losses_and_their_derivatives_are_finite_for_scores_of_any_size(divergence: Divergence, size: float) -> None:
    scores = torch.tensor([size, -size, 0.5], requires_grad=True)
    for loss in (
        divergence.critic(scores[1:], scores),
        divergence.critic(scores, scores),
        divergence.generator(scores),
    ):
        (gradient,) = torch.autograd.grad(loss, scores, create_graph=True)
        assert loss.shape == ()
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        if gradient.requires_grad:
            (curvature,) = torch.autograd.grad(gradient.sum(), scores)
            assert torch.isfinite(curvature).all()


@pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)
def test_losses_can_be_differentiated_twice_as_the_consensus_rule_does(divergence: Divergence) -> None:
    x, weight = torch.linspace(-1, 1, 6, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)

    def slope_of_loss(w: Tensor) -> Tensor:
        scores = torch.tanh(w * x + 0.1)
        loss = divergence.critic(scores[:3], scores[3:]) + 2 * divergence.generator(scores[2:])
        return torch.autograd.grad(loss, w, create_graph=True)[0]

    w = weight.clone().requires_grad_()
    (second,) = torch.autograd.grad(slope_of_loss(w), w)
    ends = [slope_of_loss((weight + step).requires_grad_()).detach() for step in (1e-6, -1e-6)]
    assert float(second) == pytest.approx(float(ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("divergence", ALL, ids=lambda d: d.name)
def test_losses_are_means_over_samples(divergence: Divergence) -> None:
    halves = [divergence.critic(REAL[i : i + 1], FAKE[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(divergence.critic(REAL, FAKE[:3]), torch.stack(halves).mean())
    each = [divergence.generator(score.view(1)) for score in FAKE]
    torch.testing.assert_close(divergence.generator(FAKE), torch.stack(each).mean())
