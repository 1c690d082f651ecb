"""The one loop: rounds of any game under any update rule, on any data.

Every random number of training is a function of (seed, round, turn), so a run that continues from a checkpoint
needs the round's number and nothing else to draw the same batches as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Adam, Optimizer

from training.average import Average
from training.configuration import Config
from training.data.dataset import Dataset
from training.game import Batch, Game, Terms
from training.updates import Alternating, Consensus, Draw, Simultaneous, UpdateRule


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
    """Batches of a dataset by (seed, round, turn): rows uniform with replacement, latents from N(0, 1)."""

    dataset: Dataset
    batch_size: int
    latent: int
    seed: int
    device: torch.device

    def of_round(self, number: int) -> Draw:
        """The batches of one round, in order; each reseeds torch, so that dropout and penalties repeat as well."""
        turns = iter(range(2**32))

        def draw() -> Batch:
            seed_torch(self.device, self.seed, number, next(turns))
            rows = torch.randint(len(self.dataset), (self.batch_size,)).numpy()
            latent = torch.randn(self.batch_size, self.latent, device=self.device)
            return Batch(self.dataset.draw(rows, self.device), latent)

        return draw


def seed_torch(device: torch.device, *counters: int) -> None:
    """Set torch's generators to a state that is a function of the counters alone.

    Torch's generator on the CPU takes only the low 32 bits of a seed, so that there are 2^32 streams: among 93,000
    turns two are expected to share one.  They then draw the same rows and latents, which does no harm, and the turns
    after them differ again.  CUDA's generator takes all 64 bits.
    """
    digest = hashlib.blake2b(struct.pack(f"<{len(counters)}Q", *counters), digest_size=8).digest()
    (number,) = struct.unpack("<q", digest)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)


def update_rule(config: Config) -> UpdateRule:
    """The configured update rule."""
    if config.update == "consensus":
        return Consensus(gamma=config.consensus)
    return Simultaneous() if config.update == "simultaneous" else Alternating()


def play(training: Training, rule: UpdateRule, draws: Draws, *, precision: str = "fp32") -> Iterator[Terms]:
    """Play rounds for as long as it is asked for the next one; yields the terms of each."""
    while True:
        started, cpu_started = time.perf_counter(), time.process_time()
        with _arithmetic(draws.device, precision):
            terms = rule.play_round(training.game, training.optimizers, draws.of_round(training.round))
        training.average.update(training.round)
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
