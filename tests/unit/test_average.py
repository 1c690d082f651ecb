"""The moving average: its formula over weights and buffers, apart from what it follows."""

from __future__ import annotations

import pytest
import torch
from small_runs import assert_same, begin, configured, data_of, rounds
from torch import nn

from training.average import Average


def moving() -> nn.BatchNorm1d:
    """Weights, floating buffers and a counter."""
    return nn.BatchNorm1d(2).double()


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(value)


def test_the_average_follows_its_formula_over_weights_and_buffers() -> None:
    module = moving()
    fill(module, 3.0)
    average, expected = Average(module, 0.3), 3.0
    for number in range(6):
        fill(module, float(number * number))
        average.update(number)
        # The start is forgotten early: decays 0.1, 0.18.., 0.25, then the configured one.
        decay = min(0.3, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * number * number
        floating = [t for t in (*average.module.parameters(), *average.module.buffers()) if t.is_floating_point()]
        assert len(floating) == 4
        for tensor in floating:
            assert tensor.tolist() == pytest.approx([expected] * 2, rel=1e-12)


def test_the_average_copies_counters() -> None:
    module = moving()
    average = Average(module, 0.999)
    module.num_batches_tracked.fill_(41)
    average.update(10**6)
    assert average.module.num_batches_tracked.item() == 41


def test_an_average_without_decay_is_the_module_after_an_update() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(module, 0.0)
    nn.init.normal_(module[0].weight)
    module(torch.randn(5, 3))
    for number in (0, 1000):
        average.update(number)
        assert_same(average.module.state_dict(), module.state_dict())


def test_the_average_is_apart_from_its_module_and_ready_to_be_evaluated() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout())
    average = Average(module, 0.5)
    assert not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    before = average.module[0].weight.clone()
    nn.init.zeros_(module[0].weight)
    assert torch.equal(average.module[0].weight, before)


def test_the_average_is_that_of_the_generator() -> None:
    config, data = configured(ema=0.0), data_of("image")
    training = begin(config, data)
    rounds(training, config, data, 2)
    assert_same(training.average.module.state_dict(), training.game.players["generator"].state_dict())
