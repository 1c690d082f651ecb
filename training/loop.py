"""The one loop: rounds of any game under any update rule, on any data, alone or as one rank of several.

Every random number of a batch is a function of (seed, round, turn, purpose, place in the batch).  A run that continues
from a checkpoint needs the round's number and nothing else to draw the same batches as an undisturbed one, and a job of
any number of ranks draws the same ones as a single process.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.optim import Optimizer

from model.latents import latents, uniforms
from training.average import Average
from training.captured import Say, logger, way_of_playing
from training.configuration import Config
from training.data.dataset import Dataset
from training.game import Batch, Game, Terms
from training.optimizers import make_optimizer
from training.updates import (
    Alternating,
    AverageOverRanks,
    Consensus,
    Draw,
    Extragradient,
    Optimistic,
    Simultaneous,
    UpdateRule,
    alone,
)

PACES = 100  # sizes that steps have in the course of a run where they fall


@dataclass
class Training:
    """Everything that training changes.

    round: rounds played.  seconds, cpu_seconds: spent playing them, evaluation and checkpoints not counted.
    """

    game: Game
    optimizers: dict[str, Optimizer]
    average: Average
    round: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._steps = [group["lr"] for group in self._groups()]

    @classmethod
    def start(cls, game: Game, config: Config, device: torch.device) -> Training:
        """Players on their device, a fresh optimiser each, and the average of the generator."""
        for module in (*game.players.values(), *game.memory.values()):
            module.to(device)
        optimizers = {name: make_optimizer(name, game.parameters(name), config) for name in game.players}
        return cls(game, optimizers, Average(game.players["generator"], config.ema))

    def pace(self, share: float) -> None:
        """Make steps of this share of the configured size from now on."""
        for group, lr in zip(self._groups(), self._steps, strict=True):
            group["lr"] = lr * share

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers alone, so that it can be read back without unpickling code."""
        return {
            "round": self.round,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "players": {name: player.state_dict() for name, player in self.game.players.items()},
            "optimizers": {
                name: {"kind": type(optimizer).__name__, **optimizer.state_dict()}
                for name, optimizer in self.optimizers.items()
            },
            "average": self.average.module.state_dict(),
            "memory": {name: module.state_dict() for name, module in self.game.memory.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state.  Raises RuntimeError or KeyError if it belongs to other networks."""
        for name, player in self.game.players.items():
            player.load_state_dict(state["players"][name])
            _load_optimizer(self.optimizers[name], state["optimizers"][name])
        self.average.module.load_state_dict(state["average"])
        for name, module in self.game.memory.items():
            module.load_state_dict(state["memory"][name])
        self.round, self.seconds = int(state["round"]), float(state["seconds"])
        self.cpu_seconds = float(state["cpu_seconds"])


def _load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """What an optimiser remembers, if it was one of this kind; else this one begins anew.

    Its settings are the configured ones: a run may be continued with others.
    """
    if state.get("kind", "Adam") != type(optimizer).__name__:
        return
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, setting in zip(optimizer.param_groups, settings, strict=True):
        group.update(setting)


@dataclass(frozen=True)
class Draws:
    """One rank's part of the batches of a dataset: rows uniform with replacement, latents from N(0, 1).

    batch_size: N, samples in a batch of the whole job; rank i of ``ranks`` draws the i-th of its equal parts.
    branches: K, of a generator that has several; each sample draws one of them, whose one-hot row follows its latent.
    """

    dataset: Dataset
    batch_size: int
    latent: int
    seed: int
    device: torch.device
    rank: int = 0
    ranks: int = 1
    branches: int = 0

    @classmethod
    def of(
        cls, training: Training, dataset: Dataset, config: Config, device: torch.device, rank: int = 0, ranks: int = 1
    ) -> Draws:
        """The batches of a run, as configured, with the branches of its generator."""
        if training.game.drawn is not None:
            dataset = training.game.drawn(dataset)
        branches = int(getattr(training.game.players["generator"], "branches", 0))
        sizes = config.batch_size, config.model.latent, config.seed
        return cls(dataset, *sizes, device, rank, ranks, branches)

    def batch(self, number: int, turn: int) -> Batch:
        """The rank's part of the batch of a turn of a round; asking changes nothing."""
        stream, size = _hashed(self.seed, number, turn), self.batch_size // self.ranks
        first = self.rank * size
        uniform = uniforms(stream, first, size, 3)
        # The product may round up to the number of rows.
        rows = np.minimum((uniform[:, 0] * len(self.dataset)).astype(np.int64), len(self.dataset) - 1)
        real = self.dataset.draw(rows, self.device)
        drawn = latents(stream, first, size, self.latent), uniform[:, 1]
        latent, mix = (torch.from_numpy(numbers).to(self.device, real.dtype) for numbers in drawn)
        if conditions := self.dataset.conditions:
            # Samples are made of the labels that the real ones have, so that a critic never tells them apart by labels.
            latent = torch.cat([latent, conditions.of(real)], dim=1)
        if self.branches:
            chosen = torch.from_numpy((uniform[:, 2] * self.branches).astype(np.int64)).to(self.device)
            latent = torch.cat([latent, one_hot(chosen, self.branches).to(latent.dtype)], dim=1)
        return Batch(real, latent, mix, torch.full((), number, device=self.device), self.rank, self.ranks)

    def of_round(self, number: int) -> Draw:
        """The batches of one round, in order; each reseeds torch for what networks draw themselves, such as dropout."""
        turns = itertools.count()

        def draw() -> Batch:
            turn = next(turns)
            seed_torch(self.device, self.seed, number, turn, self.rank)
            return self.batch(number, turn)

        return draw


def seed_torch(device: torch.device, *counters: int) -> None:
    """Set torch's generators to a state that is a function of the counters alone.

    Torch's generator on the CPU takes only the low 32 bits of a seed, so that there are 2^32 streams: among 93,000
    turns two are expected to share one, and drop the same activations, which does no harm.  CUDA's takes all 64 bits.
    """
    number = _hashed(*counters)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)


def _hashed(*counters: int) -> int:
    """A number below 2^64 for counters below 2^64, another one for others."""
    digest = hashlib.blake2b(struct.pack(f"<{len(counters)}Q", *counters), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def update_rule(config: Config) -> UpdateRule:
    """The configured update rule."""
    rules: dict[str, UpdateRule] = {
        "alternating": Alternating(),
        "simultaneous": Simultaneous(),
        "consensus": Consensus(config.consensus, config.consensus_estimator),
        "extragradient": Extragradient(),
        "optimistic": Optimistic(),
    }
    return rules[config.update]


def pace_at(share: float) -> float:
    """The share of the step sizes at a share of the run, where they fall; in PACES steps, which graphs record."""
    return 1.0 - min(int(share * PACES), PACES - 1) / PACES


def play(
    training: Training,
    rule: UpdateRule,
    draws: Draws,
    *,
    precision: str = "fp32",
    average: AverageOverRanks = alone,
    say: Say = logger.info,
    pace: Callable[[], float] = lambda: 1.0,
) -> Iterator[Terms]:
    """Play rounds for as long as it is asked for the next one; yields the terms of each, of this rank's samples.

    say: is told how the rounds are played, where there is a choice.  pace: the share of the configured step sizes that
    the next round takes, the same on all ranks.
    """

    def move(draw: Draw, share: float | Tensor) -> Terms:
        with _arithmetic(draws.device, precision):
            terms = rule.play_round(training.game.in_round(training.round), training.optimizers, draw, average)
        training.average.follow(share)
        return terms

    changing = rule.follows_turns and training.game.turns_of is not None
    turns = None if changing else rule.batches(training.game)
    play_round = way_of_playing(training, draws, move, turns, say)
    while True:
        training.pace(pace())
        started, cpu_started = time.perf_counter(), time.process_time()
        terms = play_round()
        training.round += 1
        training.seconds += time.perf_counter() - started
        training.cpu_seconds += time.process_time() - cpu_started
        yield terms


def _arithmetic(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    if precision != "bf16":
        return nullcontext()
    # No cache: it would serve a round's later turns the copies of weights that its earlier ones have moved.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def choose_device(name: str) -> torch.device:
    """The device called auto, cpu or cuda.  Raises ValueError if CUDA is asked for and absent."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError("device: cuda is not available here, use auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
