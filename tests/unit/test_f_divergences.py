"""The f-divergences by their formulas, and f-GAN and the density ratio at their optimum on two discrete laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from discrete import FAKE, REAL, P, Q, minimised
from torch import Tensor

from model.errors import ConfigurationError
from training.divergences import F_DIVERGENCES, STEEPEST, density_ratio, exp, f_divergence

SMOOTH = [name for name in F_DIVERGENCES if name != "total-variation"]
SCORES = torch.linspace(-4, 4, 33, dtype=torch.float64)


@dataclass(frozen=True)
class Formulas:
    """A row of Nowozin et al. 2016, Tables 1, 2 and 5: f, g_f, f* and f'."""

    f: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


TABLE = {
    "kl": Formulas(
        lambda u: u * u.log(), lambda v: v, lambda t: (t - 1).exp(), lambda u: 1 + u.log()
    ),
    "reverse-kl": Formulas(
        lambda u: -u.log(), lambda v: -(-v).exp(), lambda t: -1 - (-t).log(), lambda u: -1 / u
    ),
    "pearson": Formulas(
        lambda u: (u - 1) ** 2, lambda v: v, lambda t: t**2 / 4 + t, lambda u: 2 * (u - 1)
    ),
    "squared-hellinger": Formulas(
        lambda u: (u.sqrt() - 1) ** 2, lambda v: 1 - (-v).exp(), lambda t: t / (1 - t), lambda u: 1 - u**-0.5
    ),
    "jensen-shannon": Formulas(
        lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        lambda v: (2 / (1 + (-v).exp())).log(),
        lambda t: -(2 - t.exp()).log(),
        lambda u: (2 * u / (u + 1)).log(),
    ),
    "gan": Formulas(
        lambda u: u * u.log() - (u + 1) * (u + 1).log(),
        lambda v: -(1 + (-v).exp()).log(),
        lambda t: -(1 - t.exp()).log(),
        lambda u: (u / (u + 1)).log(),
    ),
    "total-variation": Formulas(
        lambda u: (u - 1).abs() / 2, lambda v: v.tanh() / 2, lambda t: t, lambda u: (u - 1).sign() / 2
    ),
}  # fmt: skip


def close(one: Tensor, other: Tensor, tolerance: float = 1e-12) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance)


def divergence_of(name: str) -> float:
    """E_q f(p/q)."""
    return float((Q * TABLE[name].f(P / Q)).sum())


def test_every_divergence_of_the_table_is_there() -> None:
    assert F_DIVERGENCES.keys() == TABLE.keys()


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_each_is_as_the_papers_table_has_it(name: str) -> None:
    ours, table = F_DIVERGENCES[name], TABLE[name]
    u = SCORES.exp()
    assert close(ours.f(SCORES), table.f(u), 1e-9)
    assert close(ours.activation(SCORES), table.activation(SCORES))
    assert close(ours.conjugate(SCORES), table.conjugate(table.activation(SCORES)), 1e-10)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_tables_derivative_is_that_of_its_f(name: str) -> None:
    u = torch.tensor([0.1, 0.5, 0.9, 1.1, 2.0, 10.0], dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(TABLE[name].f(u).sum(), u)
    assert close(derivative, TABLE[name].derivative(u.detach()))


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_conjugate_is_the_largest_of_ut_less_f(name: str) -> None:
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64).exp()
    # Where the largest is reached by some u > 0; below, Pearson's goes on as its parabola, as in the paper.
    scores = torch.tensor([-1.5, -0.4, 0.0, 0.3, 1.5], dtype=torch.float64)
    for t in TABLE[name].activation(scores):
        largest = (u * t - TABLE[name].f(u)).max()
        assert float(TABLE[name].conjugate(t)) == pytest.approx(float(largest), abs=1e-4)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_activation_rises_with_the_score(name: str) -> None:
    assert (F_DIVERGENCES[name].activation(SCORES).diff() > 0).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_the_best_score_of_a_ratio_gives_the_derivative_of_f_and_fenchels_equality(name: str) -> None:
    of, u = F_DIVERGENCES[name], SCORES.exp()
    assert of.score is not None
    score = of.score(SCORES)
    assert close(of.activation(score), TABLE[name].derivative(u), 1e-10)
    assert close(of.conjugate(score), u * TABLE[name].derivative(u) - TABLE[name].f(u), 1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_at_the_optimum_t_is_the_derivative_of_f_at_the_ratio_and_the_bound_is_the_divergence(name: str) -> None:
    game = f_divergence(name)
    scores, loss = minimised(lambda scores: game.critic(scores[REAL], scores[FAKE]), 5)
    assert F_DIVERGENCES[name].activation(scores).tolist() == pytest.approx(
        TABLE[name].derivative(P / Q).tolist(), abs=1e-5
    )
    assert -loss == pytest.approx(divergence_of(name), abs=1e-8)


def test_the_total_variation_is_approached_by_scores_of_its_sign() -> None:
    game = f_divergence("total-variation")
    scores, loss = minimised(lambda scores: game.critic(scores[REAL], scores[FAKE]), 5)
    assert scores.sign().tolist() == (P - Q).sign().tolist()
    assert -loss == pytest.approx(float((P - Q).abs().sum()) / 2, abs=1e-5)
    assert divergence_of("total-variation") == pytest.approx(float((P - Q).abs().sum()) / 2)


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_gan_is_a_game_of_zero_sum(name: str) -> None:
    fake = SCORES.clone().requires_grad_()
    game = f_divergence(name)
    (of_critic,) = torch.autograd.grad(game.critic(SCORES, fake), fake)
    (of_generator,) = torch.autograd.grad(game.generator(fake), fake)
    assert close(of_generator, -of_critic)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_fitted_density_ratio_is_p_over_q_and_the_generators_loss_the_divergence(name: str) -> None:
    game = density_ratio(name)
    scores, loss = minimised(lambda scores: game.critic(scores[REAL], scores[FAKE]), 5)
    assert scores.exp().tolist() == pytest.approx((P / Q).tolist(), rel=1e-4)
    assert -loss == pytest.approx(divergence_of(name), abs=1e-8)
    assert float(game.generator(scores[FAKE])) == pytest.approx(divergence_of(name), abs=1e-4)


def test_the_total_variation_teaches_no_ratio_and_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot play for divergence = total-variation.*variant f-gan"):
        density_ratio("total-variation")


def test_the_divergence_of_equal_laws_is_zero_but_for_gans_constant() -> None:
    at_one = {name: float(of.f(torch.zeros((), dtype=torch.float64))) for name, of in F_DIVERGENCES.items()}
    assert at_one.pop("gan") == pytest.approx(-2 * torch.tensor(2.0, dtype=torch.float64).log().item())
    assert list(at_one.values()) == pytest.approx([0.0] * len(at_one))


def test_the_exponential_is_exact_up_to_twenty_and_then_its_tangent() -> None:
    x = torch.tensor([-200.0, 0.0, STEEPEST, 30.0, 1e4], dtype=torch.float64, requires_grad=True)
    value = exp(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    steepest = torch.tensor(STEEPEST, dtype=torch.float64).exp()
    assert close(value.detach()[:3], x.detach()[:3].exp())
    assert close(value.detach()[3:], steepest * (1 + x.detach()[3:] - STEEPEST))
    assert close(slope[2:], steepest.expand(3))
