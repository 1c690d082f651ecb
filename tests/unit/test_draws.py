"""Batches and what is random in them: functions of seed, round and turn."""

from __future__ import annotations

import torch
from small_runs import CPU, Memory, data_of
from torch import Tensor

from training.game import Batch
from training.loop import Draws, seed_torch


def batches(seed: int = 0, number: int = 0, turns: int = 3) -> list[Batch]:
    draw = Draws(data_of("points"), 6, 4, seed, CPU).of_round(number)
    return [draw() for _ in range(turns)]


def test_batches_are_a_function_of_seed_round_and_turn() -> None:
    once = batches(7, 5)
    torch.manual_seed(123)
    for one, again in zip(once, batches(7, 5), strict=True):
        assert torch.equal(one.real, again.real)
        assert torch.equal(one.latent, again.latent)
    latents = [b.latent for b in (*once, *batches(8, 5), *batches(7, 6), *batches(5, 7))]
    for i, one in enumerate(latents):
        assert not any(torch.equal(one, other) for other in latents[:i])


def test_what_is_random_after_a_batch_repeats_with_it() -> None:
    def follow() -> Tensor:
        batches(7, 5, turns=2)
        return torch.rand(3)

    assert torch.equal(follow(), follow())


def test_a_batch_has_the_shapes_of_the_data_and_the_latent() -> None:
    (batch,) = batches(turns=1)
    assert batch.real.shape == (6, 2)
    assert batch.latent.shape == (6, 4)
    assert batch.latent.dtype == torch.float32


def test_rows_are_uniform_and_latents_normal() -> None:
    data = Memory("points", torch.arange(4.0).view(4, 1))
    draw = Draws(data, 4000, 5, 3, CPU).of_round(0)
    batch = draw()
    counts = torch.bincount(batch.real.flatten().long(), minlength=4)
    # Standard error of a count: sqrt(4000 * 1/4 * 3/4); of a mean of 20000 normals: 1 / sqrt(20000).
    assert (counts - 1000).abs().max() < 4 * 750**0.5
    assert abs(batch.latent.mean().item()) < 4 / 20000**0.5
    assert abs(batch.latent.var().item() - 1) < 4 * (2 / 20000) ** 0.5


def test_torchs_state_is_a_function_of_the_counters_and_their_order() -> None:
    def drawn(*counters: int) -> float:
        seed_torch(CPU, *counters)
        return torch.rand(()).item()

    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert (
        len({drawn(*counters) for counters in [(0,), (0, 0), (0, 0, 0), (1, 2, 3), (3, 2, 1), (2**63 - 1, 0, 0)]}) == 6
    )


def test_torchs_cpu_takes_the_low_32_bits_of_a_seed_as_it_is_told_of() -> None:
    def drawn(seed: int) -> Tensor:
        return torch.rand(4, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(5), drawn(5 + (7 << 32)))
    assert "2^32 streams" in (seed_torch.__doc__ or "")
