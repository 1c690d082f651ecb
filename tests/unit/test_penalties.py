"""Penalties in closed form: linear critics have one slope everywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.text import Critic
from training.divergences import wasserstein
from training.penalties import clip_weights, gradient_penalty, slope

SHAPES = [(4,), (6, 5), (3, 8, 8)]


def number(scalar: Tensor) -> float:
    return scalar.detach().item()


def linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A critic whose gradient is ``weight`` at every sample."""
    return lambda x: (x * weight).flatten(1).sum(dim=1)


def samples(shape: tuple[int, ...], n: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, n, *shape, dtype=torch.float64).unbind()


def three(shape: tuple[int, ...], n: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Real, fake and the weights between them."""
    real, fake = samples(shape, n)
    return real, fake, torch.rand(n, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_is_zero_for_a_critic_of_unit_slope(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, dtype=torch.float64)
    penalty = gradient_penalty(linear(weight / weight.norm()), *three(shape))
    assert penalty.shape == ()
    assert number(penalty) < 1e-28


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("steep", "weight"), [(0.0, 10.0), (0.5, 10.0), (3.0, 10.0), (2.0, 0.1), (7.0, 0.0)])
def test_penalty_is_the_weighted_square_of_the_slopes_excess(
    shape: tuple[int, ...], steep: float, weight: float
) -> None:
    direction = torch.randn(shape, dtype=torch.float64)
    penalty = gradient_penalty(linear(steep * direction / direction.norm()), *three(shape), weight=weight)
    assert number(penalty) == pytest.approx(weight * (steep - 1) ** 2, rel=1e-12, abs=1e-15)


def test_the_weight_is_ten_where_nobody_says_otherwise() -> None:
    assert number(gradient_penalty(linear(torch.zeros(6, 5)), *three((6, 5)))) == 10.0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_norm_is_over_all_axes_but_the_batchs(shape: tuple[int, ...]) -> None:
    real, _ = samples(shape)
    entries = real[0].numel()
    assert slope(lambda x: 0.25 * x.flatten(1).sum(dim=1), real).tolist() == pytest.approx([0.25 * entries**0.5] * 8)


def test_each_sample_has_its_own_slope() -> None:
    real, fake = samples((6, 5))
    # The gradient of half the squared norm is the sample itself.
    torch.testing.assert_close(slope(lambda x: x.square().flatten(1).sum(dim=1) / 2, real), real.flatten(1).norm(dim=1))
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.square().flatten(1).sum(dim=1) / 2

    penalty = gradient_penalty(critic, real, fake, torch.rand(8))
    expected = 10 * sum((float(x.norm()) - 1) ** 2 for x in seen[0]) / 8
    assert number(penalty) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_interpolation_weight_a_sample(shape: tuple[int, ...]) -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(dim=1)

    real, fake, mix = three(shape, n=64)
    gradient_penalty(critic, real, fake, mix)
    (between,) = seen
    weights = ((between - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(weights, mix.unsqueeze(1).expand_as(weights), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wrong", [(8, 6), (6, 5), (1,), ()])
def test_weights_that_are_not_one_a_sample_are_refused(wrong: tuple[int, ...]) -> None:
    real, fake = samples((6, 5))
    with pytest.raises(ValueError, match=r"one weight a sample, \(8,\), got"):
        gradient_penalty(linear(torch.ones(6, 5).double()), real, fake, torch.zeros(wrong))


def test_the_penalty_draws_nothing_from_torchs_generator() -> None:
    before = torch.get_rng_state()
    real, fake, mix = torch.zeros(8, 4), torch.ones(8, 4), torch.full((8,), 0.5)
    gradient_penalty(lambda x: x.square().sum(dim=1), real, fake, mix)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("closed", [False, True], ids=["double backward", "closed form"])
def test_the_penalty_binds_the_critic_alone(closed: bool) -> None:
    torch.manual_seed(0)
    critic = Critic(length=6, size=5, width=4, depth=1, kernel=3).double()
    real, fake = (x.softmax(dim=2).requires_grad_() for x in samples((6, 5)))
    penalty = gradient_penalty(critic if closed else critic.forward, real, fake, torch.rand(8))
    left = torch.autograd.grad(penalty, [real, fake], allow_unused=True, retain_graph=True)
    assert left == (None, None)
    (gradient,) = torch.autograd.grad(penalty, critic.score.weight)
    assert gradient.abs().max() > 0


def test_a_critics_own_slope_gives_the_same_penalty() -> None:
    torch.manual_seed(0)
    critic = Critic(length=6, size=5, width=4, depth=2, kernel=3).double()
    sample = three((6, 5))
    penalties = [gradient_penalty(judge, *sample) for judge in (critic, critic.forward)]
    torch.testing.assert_close(*penalties, rtol=1e-12, atol=0)


def test_samples_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have one shape, got \(8, 6, 5\) and \(4, 6, 5\)"):
        gradient_penalty(linear(torch.ones(6, 5)), torch.zeros(8, 6, 5), torch.zeros(4, 6, 5), torch.zeros(8))


def test_a_slope_of_zero_has_the_gradient_zero_and_not_nan() -> None:
    critic = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1), nn.Flatten(0))
    nn.init.zeros_(critic[2].weight)
    penalty = gradient_penalty(critic, torch.randn(5, 4), torch.randn(5, 4), torch.rand(5))
    assert number(penalty) == 10.0
    weights = [critic[0].weight, critic[2].weight]
    gradients = torch.autograd.grad(penalty, weights, create_graph=True)
    assert all(torch.isfinite(g).all() for g in gradients)
    curvature = torch.autograd.grad(sum(g.square().sum() for g in gradients), weights)
    assert all(torch.isfinite(g).all() for g in curvature)


@pytest.mark.parametrize(("distance", "weight"), [(3.0, 10.0), (3.0, 0.1), (0.5, 1.0)])
def test_two_point_masses_give_the_slope_one_plus_distance_over_twice_the_weight(
    distance: float, weight: float
) -> None:
    steep = torch.zeros((), dtype=torch.float64, requires_grad=True)
    real, fake = torch.full((4, 1), distance, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)

    mix = torch.rand(4)

    def critic(x: Tensor) -> Tensor:
        return steep * x[:, 0]

    def loss() -> Tensor:
        return wasserstein.critic(critic(real), critic(fake)) + gradient_penalty(critic, real, fake, mix, weight=weight)

    # Gradient descent on a parabola of curvature 2 * weight.
    for _ in range(40):
        (gradient,) = torch.autograd.grad(loss(), steep)
        with torch.no_grad():
            steep -= gradient / (4 * weight)
    expected = 1 + distance / (2 * weight)
    assert number(steep) == pytest.approx(expected, rel=1e-9)
    estimate = -wasserstein.critic(critic(real), critic(fake))
    assert number(estimate) == pytest.approx(distance * expected, rel=1e-9)


def test_clipping_bounds_every_weight_and_leaves_the_small_ones() -> None:
    critic = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    before = [parameter.detach().clone() for parameter in critic.parameters()]
    clip_weights(critic, 0.2)()
    for parameter, old in zip(critic.parameters(), before, strict=True):
        assert torch.equal(parameter, old.clamp(-0.2, 0.2))
        assert parameter.requires_grad
    assert max(number(p.abs().max()) for p in critic.parameters()) == pytest.approx(0.2)


def test_clipping_is_to_a_hundredth_where_nobody_says_otherwise() -> None:
    critic = nn.Linear(50, 1)
    clip_weights(critic)()
    assert float(critic.weight.detach().abs().max()) == pytest.approx(0.01)
