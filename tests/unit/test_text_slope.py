"""The text critic's slope in closed form is that of autograd, and so are its derivatives in the weights."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache

import pytest
import torch
from small_runs import Memory, begin, configured, rounds
from torch import Tensor, nn
from torch.nn.functional import one_hot

from model.text import Critic, norm

SYMBOLS = 4
SHAPES = [(w, k, d, t) for w in (1, 3, 16) for k in (1, 3, 5, 7) for d in (1, 2, 5) for t in (1, 4, 16)]
SOME = [(1, 1, 1, 1), (3, 3, 2, 4), (16, 5, 2, 16), (16, 7, 5, 4)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fresh(width: int, kernel: int, depth: int, length: int, labels: int = 0) -> Critic:
    torch.manual_seed(width + 10 * kernel + 100 * depth + 1000 * length)
    return Critic(length=length, size=SYMBOLS, width=width, depth=depth, kernel=kernel, labels=labels)


@cache
def trained(width: int, kernel: int, depth: int, length: int) -> Critic:
    """After three rounds with steps so large that every weight has moved far."""
    strings = torch.randint(SYMBOLS, (40, length), generator=torch.Generator().manual_seed(1))
    data = Memory("text", one_hot(strings, SYMBOLS).float())
    size = {"model.width": width, "model.kernel": kernel, "model.depth": depth}
    config = configured(**size, lr_critic=0.03, lr_generator=0.03)
    training = begin(config, data)
    rounds(training, config, data, 3)
    critic = training.game.players["critic"]
    assert isinstance(critic, Critic)
    return critic


NETWORKS = pytest.mark.parametrize("make", [fresh, trained], ids=["fresh", "trained"])


def texts(length: int, n: int = 3) -> Tensor:
    """One-hot rows, probabilities, and the mixtures at which a penalty looks."""
    real = one_hot(torch.randint(SYMBOLS, (n, length)), SYMBOLS).double()
    fake = torch.randn(n, length, SYMBOLS, dtype=torch.float64).softmax(dim=2)
    return torch.cat([real, fake, torch.lerp(fake, real, torch.rand(n, 1, 1, dtype=torch.float64))])


def by_autograd(critic: Critic, at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return norm(gradient[..., :SYMBOLS])


def derivatives(slope: Tensor, critic: Critic) -> list[Tensor]:
    """Of the penalty in every parameter; zeros where it has none."""
    penalty = 10 * (slope - 1).square().mean()
    return list(torch.autograd.grad(penalty, list(critic.parameters()), materialize_grads=True))


def assert_same_slope(critic: Critic, at: Tensor, tolerance: float) -> None:
    """Slopes and derivatives differ from double backward's by no more than a share of the largest of each."""
    closed, expected = critic.slope(at), by_autograd(critic, at)
    assert closed.shape == at.shape[:1]
    pairs = [(closed, expected), *zip(derivatives(closed, critic), derivatives(expected, critic), strict=True)]
    for found, reference in pairs:
        assert (found - reference).abs().max() <= tolerance * reference.abs().max()


@NETWORKS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_equals_double_backward_in_float64_and_in_float32(make: type[Critic], shape: tuple[int, ...]) -> None:
    critic, at = deepcopy(make(*shape)), texts(shape[-1])
    assert_same_slope(critic, at.float(), 1e-5)
    assert_same_slope(critic.double(), at, 1e-12)


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_of_a_conditional_critic_it_is_the_slope_in_the_text(shape: tuple[int, ...]) -> None:
    critic = fresh(*shape, labels=3).double()
    labels = torch.eye(3, dtype=torch.float64)[torch.arange(9) % 3].unsqueeze(1).expand(-1, shape[-1], -1)
    assert_same_slope(critic, torch.cat([texts(shape[-1]), labels], dim=2), 1e-12)


@NETWORKS
@pytest.mark.parametrize("shape", SOME, ids=str)
def test_in_bf16_it_is_as_near_as_bf16_is(make: type[Critic], shape: tuple[int, ...]) -> None:
    critic, at = make(*shape), texts(shape[-1]).float()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        found, expected = (
            torch.cat([part.flatten() for part in derivatives(slope(at), critic)])
            for slope in (critic.slope, lambda at: by_autograd(critic, at))
        )
    assert found.dtype == torch.float32
    assert (found - expected).norm() <= 2e-2 * expected.norm()


@NETWORKS
@pytest.mark.parametrize("shape", SOME, ids=str)
def test_scores_and_slopes_of_one_pass_are_those_of_two(make: type[Critic], shape: tuple[int, ...]) -> None:
    critic, at = deepcopy(make(*shape)).double(), texts(shape[-1])
    scores, slopes = critic.score_and_slope(at)
    assert torch.equal(scores, critic(at))
    assert torch.equal(slopes, critic.slope(at))
    parameters, apart = list(critic.parameters()), critic(at).mean() + critic.slope(at).square().mean()
    together = torch.autograd.grad(scores.mean() + slopes.square().mean(), parameters)
    for found, expected in zip(together, torch.autograd.grad(apart, parameters), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_a_relu_at_exactly_zero_lets_nothing_through_as_in_torch() -> None:
    critic, at = fresh(16, 5, 2, 4).double(), torch.zeros(2, 4, SYMBOLS, dtype=torch.float64)
    assert all(not outer.any() and not inner.any() for _, (outer, inner) in critic._steps(at))
    assert_same_slope(critic, at, 1e-12)
    # Only the skip paths are left of it.
    skipped = critic.input.weight[:, :, 0].T @ critic.score.weight.view(16, 4)
    torch.testing.assert_close(critic.slope(at), skipped.norm().expand(2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_dead_relus_have_the_derivative_zero(shape: tuple[int, ...]) -> None:
    critic, at = fresh(*shape).double(), texts(shape[-1])
    for block in critic.blocks:
        nn.init.constant_(block.branch[1].bias, -100.0)
    assert_same_slope(critic, at, 1e-12)
    found = dict(zip(dict(critic.named_parameters()), derivatives(critic.slope(at), critic), strict=True))
    assert not any(found[name].any() for name in found if "branch" in name)
    assert found["score.weight"].any()


@pytest.mark.parametrize("zero", ["score", "input"])
@pytest.mark.parametrize("shape", SOME, ids=str)
def test_a_slope_of_zero_has_derivatives_of_zero_and_not_nan(shape: tuple[int, ...], zero: str) -> None:
    critic = fresh(*shape)
    nn.init.zeros_(critic.get_submodule(zero).weight)
    slope = critic.slope(texts(shape[-1]).float())
    assert torch.equal(slope, torch.zeros(9))
    parameters = list(critic.parameters())
    first = torch.autograd.grad(slope.sum(), parameters, create_graph=True, materialize_grads=True)
    second = torch.autograd.grad(sum(g.sum() for g in first), parameters, materialize_grads=True)
    assert not any(gradient.any() for gradient in (*first, *second))


def test_a_norm_that_is_not_finite_is_seen() -> None:
    gradient = torch.tensor([[3.0, 4.0], [torch.nan, 1.0], [torch.inf, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(norm(gradient), torch.tensor([5.0, torch.nan, torch.inf, 0.0]), equal_nan=True)


def test_it_is_the_steepest_rise_of_the_score() -> None:
    critic, at = fresh(6, 3, 2, 7).double(), texts(7, 1)[1:2]
    step = 1e-7 * nn.functional.normalize(torch.randn(2000, 7 * SYMBOLS, dtype=torch.float64)).view(-1, 7, SYMBOLS)
    slope = float(critic.slope(at).detach())
    assert float((critic(at + step) - critic(at)).detach().abs().max()) / 1e-7 <= slope * (1 + 1e-6)
    # Along the gradient itself the bound is reached.
    x = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    along = 1e-7 * gradient / gradient.norm()
    assert float((critic(at + along) - critic(at)).detach()) / 1e-7 == pytest.approx(slope, rel=1e-6)


def test_it_says_nothing_of_the_input_and_everything_of_the_weights() -> None:
    critic, at = fresh(6, 3, 2, 7), texts(7).float().requires_grad_()
    slope = critic.slope(at)
    assert torch.autograd.grad(slope.sum(), at, allow_unused=True, retain_graph=True) == (None,)
    (gradient,) = torch.autograd.grad(slope.sum(), critic.score.weight)
    assert gradient.abs().max() > 0
