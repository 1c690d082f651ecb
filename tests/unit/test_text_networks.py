"""The text networks: their shapes are the paper's, and their blocks are what they are said to be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, relu

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


def test_a_blocks_adjoint_is_the_transpose_of_its_derivative() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5).double()
    x, y = torch.randn(2, 1, 3, 8, dtype=torch.float64)
    x = x.requires_grad_()
    (expected,) = torch.autograd.grad(block(x), x, y)
    found = block.adjoint(y, block.branch_gradient(y), block.rectified(x.detach()))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_score_is_that_of_the_layers_one_after_the_other(depth: int) -> None:
    torch.manual_seed(depth)
    critic = Critic(**SHAPE | {"depth": depth}).double()
    for parameter in critic.parameters():
        nn.init.normal_(parameter, std=0.5)
    text = torch.rand(6, 7, 5, dtype=torch.float64)
    expected = critic.score(critic.blocks(critic.input(text.transpose(1, 2))).flatten(1)).squeeze(1)
    torch.testing.assert_close(critic(text), expected, rtol=1e-12, atol=1e-12)


def test_a_critic_without_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        Critic(**SHAPE | {"depth": 0})
