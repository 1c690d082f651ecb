"""Captured rounds under every update rule and with every optimiser: those of the loop, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from captured_rounds import both, draws_of, move_of
from small_runs import assert_same, begin, configured, data_of

from training.captured import Captured, way_of_playing
from training.optimizers import MAKERS

UPDATES = ("simultaneous", "consensus", "extragradient", "optimistic")
CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    "changed",
    [
        *({"update": update, "precision": precision} for update in UPDATES for precision in ("fp32", "bf16")),
        {"update": "consensus", "consensus_estimator": "u-statistic"},
        {"precision": "bf16"},
        {"n_critic": 1},
    ],
    ids=str,
)
def test_they_are_under_every_rule_and_in_bf16(changed: dict[str, Any]) -> None:
    captured, loops = both(configured(**changed), data_of("text"))
    assert_same(captured, loops)


@pytest.mark.parametrize("optimizer", MAKERS)
@pytest.mark.parametrize("update", ["alternating", "extragradient", "optimistic"])
def test_they_are_with_every_optimiser(update: str, optimizer: str) -> None:
    captured, loops = both(configured("gan", update=update, optimizer=optimizer), data_of("points"))
    assert_same(captured, loops)


@pytest.mark.parametrize("update", UPDATES)
def test_a_rule_that_does_not_follow_changing_turns_is_captured(update: str) -> None:
    captured, loops = both(configured("wgan", update=update), data_of("points"))
    assert_same(captured, loops)


def test_changing_turns_are_played_eagerly_and_it_is_said() -> None:
    config, data, said = configured("wgan"), data_of("points"), []
    training = begin(config, data)
    draws, move = replace(draws_of(training, config, data), device=CUDA), move_of(training, config)
    assert not isinstance(way_of_playing(training, draws, move, None, said.append), Captured)
    assert said == ["each kernel is launched by itself: the turns of this game change from round to round"]
