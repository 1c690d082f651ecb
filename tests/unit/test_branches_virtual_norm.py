"""Virtual batch norm: by hand, a sample depends on no other, and statistics are of a reference that never changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_runs import SIZE, begin, configured, data_of, rounds
from torch import Tensor, nn

from model.branches import EPSILON, REFERENCE, Branched, VirtualBatchNorm
from training.data.dataset import Kind
from training.latents import reference_latents
from training.networks.roles import Roles

KINDS: list[Kind] = ["text", "points", "image"]
Z = SIZE["model.latent"]
ON: dict[str, Any] = {"generator.virtual_batch_norm": True}


def layer(channels: int) -> VirtualBatchNorm:
    torch.manual_seed(0)
    norm = VirtualBatchNorm(channels).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def generator_of(kind: Kind, *, heads: int = 0, **changed: Any) -> Branched:
    torch.manual_seed(0)
    generator = Roles(kind, data_of(kind).shape, configured(**{**ON, **changed})).generator(heads=heads).double()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.3)
    return generator


def latents_of(generator: Branched, n: int) -> Tensor:
    drawn = torch.randn(n, Z, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    k = generator.branches
    return torch.cat([drawn, torch.eye(k, dtype=torch.float64)[torch.arange(n) % k]], dim=1) if k else drawn


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 4)])
def test_a_sample_counts_for_one_beside_the_reference(shape: tuple[int, ...]) -> None:
    norm, x = layer(3), 2 + 3 * torch.randn(REFERENCE + 4, *shape, dtype=torch.float64)
    found = norm(x).reshape(REFERENCE + 4, 3, -1)
    rows = x.reshape(REFERENCE + 4, 3, -1)
    reference, share = rows[:REFERENCE], 1 / (REFERENCE + 1)
    for i in range(REFERENCE, REFERENCE + 4):
        # The mean of x and that of its square, each as Salimans et al. have it.
        mean, square = (
            share * of(rows[i]).mean(dim=1) + REFERENCE * share * of(reference).mean(dim=(0, 2))
            for of in (torch.clone, torch.square)
        )
        normal = (rows[i] - mean[:, None]) / (square - mean**2 + EPSILON).sqrt()[:, None]
        torch.testing.assert_close(found[i], norm.weight * normal + norm.bias, rtol=1e-10, atol=1e-10)


def test_the_reference_itself_is_normalised_as_by_batch_norm() -> None:
    norm, x = layer(3), 5 + torch.randn(REFERENCE + 2, 3, 4, dtype=torch.float64)
    plain = nn.BatchNorm1d(3, eps=EPSILON).double()
    with torch.no_grad():
        plain.weight.copy_(norm.weight[:, 0])
        plain.bias.copy_(norm.bias[:, 0])
    torch.testing.assert_close(norm(x)[:REFERENCE], plain(x[:REFERENCE]), rtol=1e-10, atol=1e-10)


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    norm, x = layer(3), torch.randn(REFERENCE + 2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(norm.float()((x + 3000).float()).double(), norm.double()(x), rtol=0, atol=5e-3)


@pytest.mark.parametrize("changed", [{}, {"heads": 2}, {"generator.mixture": 3}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_no_sample_depends_on_its_neighbours(kind: Kind, changed: dict[str, Any]) -> None:
    generator = generator_of(kind, **changed)
    latent = latents_of(generator, 7)
    together = generator(latent)
    alone = torch.cat([generator(latent[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(together, alone, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(generator(latent.flip(0)).flip(0), together, rtol=1e-11, atol=1e-11)


def test_with_batch_norm_samples_do_depend_on_their_neighbours() -> None:
    torch.manual_seed(0)
    generator = Roles("image", (1, 8, 8), configured()).generator().double()
    latent = torch.randn(7, Z, dtype=torch.float64)
    assert not torch.allclose(generator(latent)[:2], generator(latent[:2]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_passes_through_todays_weights(kind: Kind) -> None:
    generator = generator_of(kind)
    held = generator(latents_of(generator, 3))
    generator.settle()
    torch.testing.assert_close(generator(latents_of(generator, 3)), held, rtol=1e-11, atol=1e-11)
    first = next(module for module in generator.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        first.weight *= 3
    settled = generator(latents_of(generator, 3))
    again = generator_of(kind)
    again.load_state_dict(generator.state_dict())
    assert not torch.allclose(again(latents_of(generator, 3)), settled), "what is settled does not follow"


def test_gradients_pass_through_the_reference() -> None:
    generator = generator_of("points").requires_grad_()
    assert generator.reference is not None
    generator.reference.requires_grad_()
    generator(latents_of(generator, 2)).square().sum().backward()
    assert generator.reference.grad is not None
    assert generator.reference.grad.abs().sum() > 0


def test_the_reference_is_of_the_seed_and_has_each_branch_in_turn() -> None:
    one, again, other = reference_latents(3, Z, 0), reference_latents(3, Z, 0), reference_latents(4, Z, 0)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == (REFERENCE, Z)
    marked = reference_latents(3, Z, 5)
    assert torch.equal(marked[:, :Z], one)
    assert marked[:, Z:].argmax(dim=1).tolist() == [i % 5 for i in range(REFERENCE)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_outlives_training_and_averages(kind: Kind) -> None:
    config, data = configured(**ON), data_of(kind)
    training = begin(config, data)
    before = reference_latents(config.seed, Z, 0)
    rounds(training, config, data, 3)
    for generator in (training.game.players["generator"], training.average.module):
        assert isinstance(generator, Branched)
        assert generator.reference is not None
        assert torch.equal(generator.reference, before)


def test_it_takes_the_place_of_batch_norm_in_the_generator_alone() -> None:
    game = begin(configured("dcgan", **ON), data_of("image")).game
    found = {name: {type(m) for m in player.modules()} for name, player in game.players.items()}
    assert VirtualBatchNorm in found["generator"]
    assert nn.BatchNorm2d not in found["generator"]
    assert VirtualBatchNorm not in found["critic"]
