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
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from model.latents import latents, uniforms
from training.average import Average
from training.captured import Say, logger, way_of_playing
from training.configuration import Config
from training.data.dataset import Dataset
from training.game import Batch, Game, Terms
from training.updates import Alternating, AverageOverRanks, Consensus, Draw, Simultaneous, UpdateRule, alone


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

    @classmethod
    def start(cls, game: Game, config: Config, device: torch.device) -> Training:
        """Players on their device, a fresh optimiser each, and the average of the generator."""
        for player in game.players.values():
            player.to(device)
        optimizers: dict[str, Optimizer] = {
            name: Adam(
                game.parameters(name),
                lr=config.lr_generator if name == "generator" else config.lr_critic,
                betas=(config.beta1, config.beta2),
                fused=True,
            )
            for name in game.players
        }
        return cls(game, optimizers, Average(game.players["generator"], config.ema))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers alone, so that it can be read back without unpickling code."""
        return {
            "round": self.round,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "players": {name: player.state_dict() for name, player in self.game.players.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "average": self.average.module.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state.  Raises RuntimeError or KeyError if it belongs to other networks."""
        for name, player in self.game.players.items():
            player.load_state_dict(state["players"][name])
            optimizer = self.optimizers[name]
            # The configured step sizes stay: a run may be continued with others.
            settings = [{key: group[key] for key in ("lr", "betas")} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, setting in zip(optimizer.param_groups, settings, strict=True):
                group.update(setting)
        self.average.module.load_state_dict(state["average"])
        self.round, self.seconds = int(state["round"]), float(state["seconds"])
        self.cpu_seconds = float(state["cpu_seconds"])


@dataclass(frozen=True)
class Draws:
    """One rank's part of the batches of a dataset: rows uniform with replacement, latents from N(0, 1).

    batch_size: N, samples in a batch of the whole job; rank i of ``ranks`` draws the i-th of its equal parts.
    """

    dataset: Dataset
    batch_size: int
    latent: int
    seed: int
    device: torch.device
    rank: int = 0
    ranks: int = 1

    def batch(self, number: int, turn: int) -> Batch:
        """The rank's part of the batch of a turn of a round; asking changes nothing."""
        stream, size = _hashed(self.seed, number, turn), self.batch_size // self.ranks
        first = self.rank * size
        uniform = uniforms(stream, first, size, 2)
        # The product may round up to the number of rows.
        rows = np.minimum((uniform[:, 0] * len(self.dataset)).astype(np.int64), len(self.dataset) - 1)
        real = self.dataset.draw(rows, self.device)
        drawn = latents(stream, first, size, self.latent), uniform[:, 1]
        latent, mix = (torch.from_numpy(numbers).to(self.device, real.dtype) for numbers in drawn)
        if k := len(self.dataset.labels):
            # Strings are made of the labels that the real ones have, so that a critic never tells them apart by labels.
            latent = torch.cat([latent, real[:, 0, -k:]], dim=1)
        return Batch(real, latent, mix)

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
    if config.update == "consensus":
        return Consensus(gamma=config.consensus)
    return Simultaneous() if config.update == "simultaneous" else Alternating()


def play(
    training: Training,
    rule: UpdateRule,
    draws: Draws,
    *,
    precision: str = "fp32",
    average: AverageOverRanks = alone,
    say: Say = logger.info,
) -> Iterator[Terms]:
    """Play rounds for as long as it is asked for the next one; yields the terms of each, of this rank's samples.

    say: is told how the rounds are played, where there is a choice.
    """

    def move(draw: Draw, share: float | Tensor) -> Terms:
        with _arithmetic(draws.device, precision):
            terms = rule.play_round(training.game, training.optimizers, draw, average)
        training.average.follow(share)
        return terms

    turns = len(training.game.turns) if rule.follows_turns else 1
    play_round = way_of_playing(training, draws, move, turns, say)
    while True:
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
