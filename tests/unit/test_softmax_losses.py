"""The losses of K generators and a discriminator of K + 1 classes, at their optimum on discrete laws."""

from __future__ import annotations

import math

import pytest
import torch
from discrete import minimised
from torch import Tensor
from torch.nn.functional import one_hot

from training.divergences import non_saturating, softmax_critic, softmax_generator

# Of 12, on 4 points: their mean is p below.
APART = torch.tensor([[12, 0, 0, 0], [0, 12, 0, 0], [0, 0, 6, 6]])
ALIKE = torch.tensor([[4, 4, 2, 2]] * 3)
MIXED = torch.tensor([[8, 0, 2, 2], [0, 12, 0, 0], [4, 0, 4, 4]])
COUNTS_P = torch.tensor([4, 4, 2, 2])
K = 3


def samples(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The points of 12 real and 36 fake samples, and who made the latter, (36, 3)."""
    points = torch.arange(4)
    fake = torch.cat([points.repeat_interleave(row) for row in counts])
    maker = torch.arange(K).repeat_interleave(counts.sum(dim=1))
    return points.repeat_interleave(COUNTS_P), fake, one_hot(maker, K).double()


def optimum(counts: Tensor) -> tuple[Tensor, float]:
    """Logits of four points, (4, K + 1), that minimise the critic's loss, and that loss."""
    real, fake, maker = samples(counts)
    return minimised(lambda logits: softmax_critic(logits[real], logits[fake], maker), 4, K + 1)


def value(counts: Tensor) -> float:
    """E_p log D + sum E_(q_i) log(1 - D), D the best probability of the data's class, which the generators lower."""
    logits, _ = optimum(counts)
    real, fake, _ = samples(counts)
    data = logits.softmax(dim=1)[:, -1]
    return float(data[real].log().mean() + K * (1 - data[fake]).log().mean())


@pytest.mark.parametrize("counts", [ALIKE, MIXED], ids=["alike", "mixed"])
def test_the_optimal_classes_are_the_shares_of_the_laws(counts: Tensor) -> None:
    logits, _ = optimum(counts)
    laws = torch.cat([counts, COUNTS_P.unsqueeze(0)]).T.double()
    torch.testing.assert_close(logits.softmax(dim=1), laws / laws.sum(dim=1, keepdim=True), atol=1e-4, rtol=0)


@pytest.mark.parametrize("counts", [APART, ALIKE, MIXED], ids=["apart", "alike", "mixed"])
def test_where_the_generators_have_the_mean_p_the_games_value_is_mad_gans(counts: Tensor) -> None:
    assert value(counts) == pytest.approx(-(K + 1) * math.log(K + 1) + K * math.log(K), abs=1e-4)


def test_a_critic_that_tells_the_generators_apart_reaches_that_value_too() -> None:
    _, loss = optimum(APART)
    assert -loss == pytest.approx(-(K + 1) * math.log(K + 1) + K * math.log(K), abs=1e-4)
    _, alike = optimum(ALIKE)
    assert -alike == pytest.approx(-(K + 1) * math.log(K + 1), abs=1e-6)


def test_where_the_mean_is_not_p_the_value_is_larger() -> None:
    away = torch.tensor([[12, 0, 0, 0]] * 3)
    assert value(away) > -(K + 1) * math.log(K + 1) + K * math.log(K) + 0.1


def test_the_classes_weigh_the_same_however_many_fake_samples_there_are() -> None:
    real, fake, maker = samples(MIXED)
    logits = torch.randn(4, K + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    once = softmax_critic(logits[real], logits[fake], maker)
    again = softmax_critic(logits[real], logits[fake.repeat(3)], maker.repeat(3, 1))
    torch.testing.assert_close(once, again)
    by_class = [
        -logits[fake[maker[:, i] == 1]].log_softmax(dim=1)[:, i].mean() for i in range(K)
    ]  # fmt: skip
    torch.testing.assert_close(once, sum(by_class) - logits[real].log_softmax(dim=1)[:, -1].mean())


def test_a_critic_that_is_sure_and_right_has_no_loss() -> None:
    """It would have, of at least log(1 + K/e), if a softmax were fed to a cross-entropy of logits."""
    maker = torch.eye(K)
    sure = 100 * torch.eye(K + 1)
    assert float(softmax_critic(sure[-1:], sure[:-1], maker)) == 0
    twice = softmax_critic(sure[-1:].softmax(dim=1), sure[:-1].softmax(dim=1), maker)
    assert float(twice) > (K + 1) * math.log(1 + K / math.e) - 1e-6


def test_the_generator_raises_the_datas_class_however_sure_the_critic_is() -> None:
    for score in (0.0, -30.0):
        logits = torch.tensor([[0.0, 0.0, 0.0, score]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(softmax_generator(logits), logits)
        assert float(gradient[0, -1]) < -0.7


@pytest.mark.parametrize("size", [1e4, -1e4, 0.0])
def test_losses_and_gradients_are_finite_for_logits_of_any_size(size: float) -> None:
    logits = torch.tensor([[size, 0.0, 1.0, -size], [0.0, size, -size, 1.0]], requires_grad=True)
    maker = torch.eye(K)[:2]
    for loss in (softmax_critic(logits, logits, maker), softmax_generator(logits)):
        (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
        (curvature,) = torch.autograd.grad(gradient.square().sum(), logits)
        assert all(torch.isfinite(each).all() for each in (loss, gradient, curvature))


def test_with_one_generator_it_is_the_logistic_game() -> None:
    logits = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score = logits[:, 1] - logits[:, 0]
    torch.testing.assert_close(softmax_generator(logits), non_saturating.generator(score))
    of_both = softmax_critic(logits[:3], logits[3:], torch.ones(2, 1, dtype=torch.float64))
    torch.testing.assert_close(of_both, non_saturating.critic(score[:3], score[3:]))
