"""The text networks: their shapes are the paper's, and the critic's closed-form slope is autograd's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, one_hot, relu

from model.text import Critic, Generator, ResidualBlock

SHAPE = {"length": 7, "size": 5, "width": 6, "depth": 2, "kernel": 3}
PAPER = {"length": 32, "size": 100, "width": 512, "depth": 5, "kernel": 5}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give in networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def test_latents_become_probabilities_of_each_symbol_at_each_position() -> None:
    torch.manual_seed(0)
    generator = Generator(**SHAPE, latent=4)
    latent = torch.randn(3, 4)
    probabilities = generator(latent)
    assert probabilities.shape == generator.logits(latent).shape == (3, 7, 5)
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(dim=2), torch.ones(3, 7))
    assert torch.equal(probabilities.argmax(dim=2), generator.logits(latent).argmax(dim=2))


def test_text_becomes_one_score_a_sample_whatever_else_is_in_the_batch() -> None:
    torch.manual_seed(0)
    critic = Critic(**SHAPE).double()
    text = torch.rand(6, 7, 5, dtype=torch.float64)
    scores = critic(text)
    assert scores.shape == (6,)
    torch.testing.assert_close(scores, torch.cat([critic(part) for part in text.split([1, 2, 3])]))


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        generator, critic = Generator(**PAPER, latent=128), Critic(**PAPER)
    blocks = {
        f"blocks.{block}.branch.{layer}.{name}": shape
        for block in range(5)
        for layer in (1, 3)
        for name, shape in (("weight", (512, 512, 5)), ("bias", (512,)))
    }
    linear = {"expand.weight": (512 * 32, 128), "expand.bias": (512 * 32,)}
    assert shapes(generator) == {**linear, **blocks, "output.weight": (100, 512, 1), "output.bias": (100,)}
    first = {"input.weight": (512, 100, 1), "input.bias": (512,)}
    assert shapes(critic) == {**first, **blocks, "score.weight": (1, 512 * 32), "score.bias": (1,)}


@pytest.mark.parametrize("kernel", [1, 3, 5, 31])
def test_a_block_keeps_the_length_for_any_odd_kernel(kernel: int) -> None:
    assert ResidualBlock(4, kernel)(torch.randn(2, 4, 7)).shape == (2, 4, 7)


def test_a_block_is_x_plus_three_tenths_of_its_branch() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 5).double()
    x = torch.randn(3, 4, 9, dtype=torch.float64)
    before = x.clone()
    first, second = block.branch[1], block.branch[3]
    inner = conv1d(relu(before), first.weight, first.bias, padding=2)
    expected = before + 0.3 * conv1d(relu(inner), second.weight, second.bias, padding=2)
    torch.testing.assert_close(block(x), expected, rtol=1e-13, atol=1e-13)
    assert torch.equal(x, before)


def test_the_skip_path_carries_x_and_not_its_positive_part() -> None:
    block = ResidualBlock(4, 3)
    nn.init.zeros_(block.branch[3].weight)
    nn.init.zeros_(block.branch[3].bias)
    x = torch.linspace(-1, 1, 40).view(1, 4, 10)
    assert torch.equal(block(x), x)
    assert torch.equal(block.masked(x)[0], x)


def test_a_blocks_masked_output_is_its_output() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, 3).double()
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    output, (first, second) = block.masked(x)
    torch.testing.assert_close(output, block(x), rtol=0, atol=0)
    assert torch.equal(first, (x > 0).double())
    assert set(second.unique().tolist()) == {0.0, 1.0}


def test_a_blocks_adjoint_is_the_transpose_of_its_derivative() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5).double()
    x, y = torch.randn(2, 1, 3, 8, dtype=torch.float64)
    _, masks = block.masked(x)
    x = x.requires_grad_()
    (expected,) = torch.autograd.grad(block(x), x, y)
    torch.testing.assert_close(block.adjoint(y, masks), expected, rtol=1e-13, atol=1e-13)


def texts(n: int, length: int, size: int) -> Tensor:
    """Half one-hot, half probabilities, as the critic sees them, and the mixtures that a penalty looks at."""
    real = one_hot(torch.randint(size, (n, length)), size).double()
    fake = torch.randn(n, length, size, dtype=torch.float64).softmax(dim=2)
    return torch.cat([real, fake, torch.lerp(fake, real, torch.rand(n, 1, 1, dtype=torch.float64))])


def slope_by_autograd(critic: Critic, at: Tensor) -> Tensor:
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def gradients_of_penalty(slope: Tensor, critic: Critic) -> list[Tensor]:
    parameters = list(critic.parameters())
    penalty = 10 * (slope - 1).square().mean()
    return list(torch.autograd.grad(penalty, parameters, materialize_grads=True))


@pytest.mark.parametrize("trained", [False, True], ids=["fresh", "trained"])
@pytest.mark.parametrize(
    ("width", "depth", "kernel"), [(1, 1, 1), (4, 1, 3), (8, 3, 5), (3, 5, 5), (6, 2, 9), (5, 0, 3)]
)
def test_the_slope_and_its_weight_gradients_equal_double_backward(
    width: int, depth: int, kernel: int, trained: bool
) -> None:
    torch.manual_seed(width + 10 * depth)
    critic = Critic(length=7, size=5, width=width, depth=depth, kernel=kernel).double()
    if trained:
        # Weights far from their start: larger, uneven, with biases that switch many ReLUs off.
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.mul_(3).add_(torch.randn_like(parameter) * 0.3)
    at = texts(4, 7, 5)
    closed, expected = critic.slope(at), slope_by_autograd(critic, at)
    assert closed.shape == (12,)
    torch.testing.assert_close(closed, expected, rtol=1e-12, atol=0)
    pairs = zip(gradients_of_penalty(closed, critic), gradients_of_penalty(expected, critic), strict=True)
    for found, reference in pairs:
        assert (found - reference).abs().max() <= 1e-12 * reference.abs().max()


def test_the_slope_is_the_steepest_rise_of_the_score() -> None:
    torch.manual_seed(3)
    critic, at = Critic(**SHAPE).double(), texts(1, 7, 5)[1:2]
    step = 1e-7 * nn.functional.normalize(torch.randn(2000, 7 * 5, dtype=torch.float64)).view(-1, 7, 5)
    rises = (critic(at + step) - critic(at)).detach().abs() / 1e-7
    slope = float(critic.slope(at).detach())
    assert float(rises.max()) <= slope * (1 + 1e-6)
    # Along the gradient itself the bound is reached.
    x = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    along = 1e-7 * gradient / gradient.norm()
    assert float((critic(at + along) - critic(at)).detach()) / 1e-7 == pytest.approx(slope, rel=1e-6)


def test_a_slope_of_zero_has_the_gradient_zero_and_not_nan() -> None:
    torch.manual_seed(0)
    critic = Critic(**SHAPE)
    nn.init.zeros_(critic.score.weight)
    slope = critic.slope(texts(2, 7, 5).float())
    assert torch.equal(slope, torch.zeros(6))
    for gradient in gradients_of_penalty(slope, critic):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_the_slope_says_nothing_of_the_input_and_everything_of_the_weights() -> None:
    critic = Critic(**SHAPE)
    at = texts(2, 7, 5).float().requires_grad_()
    slope = critic.slope(at)
    assert torch.autograd.grad(slope.sum(), at, allow_unused=True, retain_graph=True) == (None,)
    (gradient,) = torch.autograd.grad(slope.sum(), critic.score.weight)
    assert gradient.abs().max() > 0
