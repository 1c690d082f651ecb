"""The other constraints in closed form: one-sided, zero-centred, chords, R1 and R2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.text import Critic
from training.divergences import wasserstein
from training.penalties import (
    finite_difference_penalty,
    gradient_penalty,
    one_sided_penalty,
    r1,
    r2,
    squared_slope,
    two_of,
    zero_centred_penalty,
)

Penalty = Callable[..., Tensor]
ALONG = [gradient_penalty, one_sided_penalty, zero_centred_penalty, finite_difference_penalty]
EVERY = [*ALONG, r1, r2]
SHAPES = [(4,), (6, 5), (1, 8, 8), (3, 8, 8)]


def number(scalar: Tensor) -> float:
    return scalar.detach().item()


def linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A critic whose gradient is ``weight`` at every sample."""
    return lambda x: (x * weight).flatten(1).sum(dim=1)


def half_square(x: Tensor) -> Tensor:
    """A critic whose gradient is the sample itself."""
    return x.square().flatten(1).sum(dim=1) / 2


def three(shape: tuple[int, ...], n: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, n, *shape, dtype=torch.float64, generator=generator)
    return real, fake, torch.rand(n, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steep", [0.0, 0.5, 1.0, 3.0])
def test_each_form_in_closed_form_for_a_critic_of_one_slope(shape: tuple[int, ...], steep: float) -> None:
    direction = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    critic = linear(steep * direction / direction.norm())
    expected = {
        gradient_penalty: 10 * (steep - 1) ** 2,
        one_sided_penalty: 10 * max(0.0, steep - 1) ** 2,
        zero_centred_penalty: 10 * steep**2,
        r1: 5 * steep**2,
        r2: 5 * steep**2,
    }
    for penalty, value in expected.items():
        found = penalty(critic, *three(shape), weight=10.0)
        assert found.shape == ()
        assert number(found) == pytest.approx(value, rel=1e-12, abs=1e-14)


def test_r1_is_of_the_slope_at_real_samples_and_r2_at_fake_ones() -> None:
    real, fake, mix = three((6, 5))
    assert number(r1(half_square, real, fake, mix, weight=3.0)) == pytest.approx(1.5 * float(real.square().sum()) / 8)
    assert number(r2(half_square, real, fake, mix, weight=3.0)) == pytest.approx(1.5 * float(fake.square().sum()) / 8)


@pytest.mark.parametrize("penalty", [r1, r2, zero_centred_penalty])
def test_at_a_slope_of_zero_a_zero_centred_penalty_has_its_curvature(penalty: Penalty) -> None:
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    found = penalty(lambda x: theta * x[:, 0], *three((1,)), weight=1.0)
    (gradient,) = torch.autograd.grad(found, theta, create_graph=True)
    (curvature,) = torch.autograd.grad(gradient, theta)
    assert number(gradient) == 0
    assert number(curvature) == (2.0 if penalty is zero_centred_penalty else 1.0)


@pytest.mark.parametrize("penalty", [r1, r2, zero_centred_penalty])
def test_a_critics_own_slope_gives_the_same(penalty: Penalty) -> None:
    torch.manual_seed(0)
    critic = Critic(length=6, size=5, width=4, depth=2, kernel=3).double()
    found = [penalty(judge, *three((6, 5)), weight=10.0) for judge in (critic, critic.forward)]
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)
    closed, twice = (torch.autograd.grad(each, critic.score.weight)[0] for each in found)
    torch.testing.assert_close(closed, twice, rtol=1e-9, atol=1e-12)


def test_the_squared_slope_leaves_labels_out_as_the_slope_does() -> None:
    torch.manual_seed(0)
    critic = Critic(length=6, size=5, width=4, depth=1, kernel=3, labels=2).double()
    at = three((6, 7))[0]
    torch.testing.assert_close(squared_slope(critic, at), critic.slope(at).square())

    class Unhelpful(nn.Module):
        labels = 2

        def forward(self, x: Tensor) -> Tensor:
            return critic(x)

    torch.testing.assert_close(squared_slope(Unhelpful(), at), critic.slope(at).square())


@pytest.mark.parametrize("penalty", EVERY)
def test_a_penalty_binds_the_critic_alone(penalty: Penalty) -> None:
    real, fake, mix = three((4,))
    real, fake, weight = (each.requires_grad_() for each in (real, fake, torch.ones(4, dtype=torch.float64)))
    found = penalty(lambda x: (x * weight).square().sum(dim=1), real, fake, mix, weight=1.0)
    *left, bound = torch.autograd.grad(found, [real, fake, weight], allow_unused=True)
    assert left == [None, None]
    assert bound.abs().max() > 0


@pytest.mark.parametrize("penalty", EVERY)
def test_a_penalty_is_the_mean_of_that_of_its_samples_in_any_batch(penalty: Penalty) -> None:
    real, fake, mix = three((4,))
    critic = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()
    whole = penalty(critic, real, fake, mix, weight=1.0)
    alone = [penalty(critic, real[i : i + 1], fake[i : i + 1], mix[i : i + 1], weight=1.0) for i in range(8)]
    torch.testing.assert_close(whole, torch.stack(alone).mean())


@pytest.mark.parametrize("penalty", ALONG)
def test_samples_and_weights_that_do_not_fit_are_refused(penalty: Penalty) -> None:
    real, fake, mix = three((4,))
    with pytest.raises(ValueError, match="must have one shape"):
        penalty(half_square, real, fake[:4], mix)
    with pytest.raises(ValueError, match="one weight a sample"):
        penalty(half_square, real, fake, mix[:4])


@pytest.mark.parametrize("penalty", EVERY)
def test_under_autocast_a_penalty_is_of_full_precision_samples(penalty: Penalty) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
    real, fake, mix = (each.float() for each in three((4,)))
    exact = penalty(critic, real, fake, mix, weight=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        halved = penalty(critic, real, fake.bfloat16(), mix, weight=1.0)
    assert halved.dtype == torch.float32
    assert number(halved) == pytest.approx(number(exact), rel=0.05)


# Chords.


@pytest.mark.parametrize("steep", [0.0, 0.5, 1.0, 3.0, -3.0])
def test_on_a_line_the_chords_of_a_linear_critic_have_its_slope(steep: float) -> None:
    found = finite_difference_penalty(lambda x: steep * x[:, 0], *three((1,)), weight=10.0)
    assert number(found) == pytest.approx(10 * (abs(steep) - 1) ** 2, rel=1e-9, abs=1e-12)


def test_chords_say_nothing_of_slopes_across_the_segments() -> None:
    real, fake = torch.zeros(2, 8, 2, dtype=torch.float64)
    real[:, 0] = 3
    mix = three((2,))[2]
    critic = linear(torch.tensor([1.0, 100.0], dtype=torch.float64))
    assert number(finite_difference_penalty(critic, real, fake, mix)) == pytest.approx(0, abs=1e-12)
    assert number(gradient_penalty(critic, real, fake, mix)) > 9e4


def test_two_points_in_one_place_are_no_division_by_zero() -> None:
    real, fake = torch.ones(2, 8, 4)
    weight = torch.ones(4, requires_grad=True)
    found = finite_difference_penalty(lambda x: (x * weight).sum(dim=1), real, fake, torch.rand(8), weight=10.0)
    (gradient,) = torch.autograd.grad(found, weight)
    assert number(found) == 10.0
    assert torch.isfinite(gradient).all()


def test_a_mix_holds_two_independent_uniform_numbers() -> None:
    mix = torch.rand(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for exactness in (torch.float32, torch.float64):
        pair = torch.stack(two_of(mix.to(exactness)))
        assert pair.min() >= 0
        assert pair.max() <= 1
        assert pair.mean(dim=1).tolist() == pytest.approx([0.5, 0.5], abs=4e-3)
        assert pair.var(dim=1).tolist() == pytest.approx([1 / 12, 1 / 12], rel=0.02)
        cells = torch.histogramdd(pair.T.double(), [4, 4], [0.0, 1.0, 0.0, 1.0]).hist
        # 16 cells of 6250: chi squared with 15 degrees of freedom exceeds 37.7 once in a thousand.
        assert float(((cells - 6250) ** 2 / 6250).sum()) < 37.7


# Point masses at 0 and 3, and a critic that is free at the ends of 40 pieces between them.

PIECES, DISTANCE = 40, 3.0


def free_critic(values: Tensor) -> Callable[[Tensor], Tensor]:
    def critic(x: Tensor) -> Tensor:
        place = x[:, 0] / DISTANCE * PIECES
        left = place.detach().floor().clamp(0, PIECES - 1).long()
        return values[left] + (place - left) * (values[left + 1] - values[left])

    return critic


def steepest(penalty: Penalty) -> float:
    """The steepest slope of the critic that is best under a penalty of weight 10, over all pairs of places."""
    half = (torch.arange(PIECES, dtype=torch.float64) + 0.5) / PIECES
    one, other = torch.cartesian_prod((half * 4096).floor(), half).T
    mix = (one + other) / 4096  # whose leading 12 bits and those after them are the two
    real, fake = torch.full((len(mix), 1), DISTANCE, dtype=torch.float64), torch.zeros(len(mix), 1, dtype=torch.float64)
    values = torch.linspace(0, DISTANCE, PIECES + 1, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        critic = free_critic(values)
        total = wasserstein.critic(critic(real[:1]), critic(fake[:1])) + penalty(critic, real, fake, mix, weight=10.0)
        total.backward()
        return total

    optimizer.step(loss)
    return float(values.detach().diff().abs().max()) / DISTANCE * PIECES


def test_bound_by_chords_the_critic_ends_far_steeper_than_bound_by_slopes() -> None:
    assert steepest(gradient_penalty) == pytest.approx(1 + DISTANCE / 20, abs=2e-3)
    assert steepest(finite_difference_penalty) > 5
