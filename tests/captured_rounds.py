"""Captured rounds on any device, and eager ones beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from small_runs import CPU, begin, lasting, rounds
from torch import Tensor

from training.captured import Move, Play, Record, checked, eager
from training.configuration import Config
from training.data.dataset import Dataset
from training.game import Terms
from training.loop import Draws, Training, update_rule
from training.updates import Draw


def plain(work: Callable[[], None]) -> Callable[[], None]:
    """In the place of a capture: the work is done some times, as in a warm-up, and then once for each replay."""
    for _ in range(2):
        work()
    return work


def draws_of(training: Training, config: Config, data: Dataset, device: torch.device = CPU) -> Draws:
    return Draws.of(training, data, config, device)


def move_of(training: Training, config: Config, device: torch.device = CPU) -> Move:
    rule = update_rule(config)

    def move(draw: Draw, share: float | Tensor) -> Terms:
        bf16 = torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
        with bf16 if config.precision == "bf16" else nullcontext():
            terms = rule.play_round(training.game, training.optimizers, draw)
        training.average.follow(share)
        return terms

    return move


class Rounds:
    """Captured rounds of a training, or eager ones where they could not be, and what was said of it."""

    def __init__(
        self, training: Training, config: Config, data: Dataset, record: Record = plain, device: torch.device = CPU
    ) -> None:
        self.training, self.said = training, []
        self._play = checked(
            training,
            draws_of(training, config, data, device),
            move_of(training, config, device),
            update_rule(config).batches(training.game),
            self.said.append,
            record,
        )

    @property
    def captured(self) -> bool:
        return not any("each kernel is launched by itself" in sentence for sentence in self.said)

    def play(self, n: int) -> list[Terms]:
        return played(self.training, self._play, n)


def played(training: Training, play: Play, n: int) -> list[Terms]:
    found = []
    for _ in range(n):
        found.append(play())
        training.round += 1
    return found


def play_eagerly(training: Training, config: Config, data: Dataset, n: int, device: torch.device = CPU) -> list[Terms]:
    return played(
        training, eager(training, draws_of(training, config, data, device), move_of(training, config, device)), n
    )


def both(config: Config, data: Dataset, n: int = 4) -> tuple[Any, Any]:
    """States and terms after n captured rounds and after n of the loop's."""
    found = []
    for captured in (True, False):
        training = begin(config, data)
        terms = Rounds(training, config, data).play(n) if captured else rounds(training, config, data, n)
        found.append({"state": lasting(training), "terms": terms})
    return found[0], found[1]
