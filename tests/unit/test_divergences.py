"""Divergences in closed form, and their critics at the optimum on discrete distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.divergences import Divergence, minimax, non_saturating, wasserstein

REAL = torch.tensor([1.0, 3.0, -0.5], dtype=torch.float64)
FAKE = torch.tensor([0.0, 2.0, 0.5, -4.0], dtype=torch.float64)
LOGISTIC = [minimax, non_saturating]
COUNTS_P = torch.tensor([8, 4, 1, 5, 2])  # of 20
COUNTS_Q = torch.tensor([1, 4, 8, 5, 2])


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


@pytest.mark.parametrize("divergence", [wasserstein, *LOGISTIC], ids=lambda d: d.name)
def test_losses_are_scalars_and_finite_for_scores_of_any_size(divergence: Divergence) -> None:
    for score in (-1e4, 0.0, 1e4):
        losses = (
            divergence.critic(torch.full((3,), score), torch.full((2,), -score)),
            divergence.generator(torch.full((2,), score)),
        )
        assert all(loss.shape == () and torch.isfinite(loss) for loss in losses)


def optimal_scores(divergence: Divergence) -> tuple[Tensor, Tensor]:
    """Scores of five atoms that minimise the critic's loss on p and q, and that loss."""
    real, fake = (torch.arange(5).repeat_interleave(counts) for counts in (COUNTS_P, COUNTS_Q))
    scores = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [scores], max_iter=100, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = divergence.critic(scores[real], scores[fake])
        value.backward()
        return value

    optimizer.step(loss)
    return scores.detach(), loss().detach()


@pytest.mark.parametrize("divergence", LOGISTIC, ids=lambda d: d.name)
def test_the_optimal_discriminator_is_p_over_p_plus_q(divergence: Divergence) -> None:
    scores, loss = optimal_scores(divergence)
    p, q = COUNTS_P / 20, COUNTS_Q / 20
    assert scores.sigmoid().tolist() == pytest.approx((p / (p + q)).tolist(), abs=1e-6)
    middle = (p + q) / 2
    jensen_shannon = float((p * (p / middle).log() + q * (q / middle).log()).sum()) / 2
    assert float(loss) == pytest.approx(2 * math.log(2) - 2 * jensen_shannon, abs=1e-7)


def test_at_the_optimum_the_minimax_generator_minimises_the_jensen_shannon_divergence() -> None:
    scores, loss = optimal_scores(minimax)
    real, fake = (torch.arange(5).repeat_interleave(counts) for counts in (COUNTS_P, COUNTS_Q))
    # Up to the real half, which the generator cannot change, its loss is minus the critic's.
    half = -logsigmoid(scores[real]).mean()
    assert float(minimax.generator(scores[fake])) == pytest.approx(float(half - loss), abs=1e-12)
