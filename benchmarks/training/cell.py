"""One cell of the table: both sides of one size in one process, a step of each in turn, and the machine's ceilings.

    python -m benchmarks.training.cell '{"width": 128, "threads": 1, "precision": "fp32", ...}'

Prints what it found as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import random
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.training.ceilings import FORWARDS, convolution_per_s, forward_operations, gemm_per_s, seconds
from benchmarks.training.plain import Plain
from training.configuration import DataConfig
from training.data import Corpus, open_dataset
from training.layering import resolve
from training.loop import Draws, choose_device, play
from training.preparation import start

LINES = 20_000
RESERVED = 2  # padding and the unknown character are symbols of V, too
WARM = 2  # steps that are not counted
MEMORY_STEPS = 2  # rounds in a process whose memory is asked for


@dataclass(frozen=True)
class Size:
    """What is measured.  seconds: of each comparison.  side: "both", or one of them for its memory alone."""

    width: int = 128
    threads: int = 1
    precision: str = "fp32"
    batch: int = 64
    length: int = 32
    symbols: int = 100
    n_critic: int = 5
    seconds: float = 8.0
    device: str = "cpu"
    side: str = "both"


class Sides:
    """Ours, as ``charwgan train`` plays it, and the plain one, on the same networks and strings."""

    def __init__(self, size: Size, folder: Path) -> None:
        self.size, self.device = size, choose_device(size.device)
        corpus = _corpus(size, folder)
        config, _ = resolve({"flag": _keys(size)}, "paper")
        self.training, self.rule = start(config, corpus, self.device)
        self.draws = Draws(corpus, size.batch, config.model.latent, config.seed, self.device)
        self.rounds = play(self.training, self.rule, self.draws, precision=size.precision)
        plain, _ = start(config, corpus, self.device)
        players = plain.game.players
        networks: Any = (players["generator"], players["critic"])
        self.plain = Plain(*networks, corpus.train, size.batch, size.precision)

    def critic_steps(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """The plain critic step and ours, on a batch that is there already; on a GPU ours draws its own."""
        batch = self.draws.of_round(0)()
        alone = dataclasses.replace(self.training.game, turns=("critic",))
        ours = dataclasses.replace(self.training, game=alone)
        draws: Any = self.draws if self.device.type == "cuda" else _Fixed(batch, self.device)
        steps = play(ours, self.rule, draws, precision=self.size.precision)
        return lambda: self.plain.critic_step(batch.real, batch.latent), lambda: next(steps)

    def whole_rounds(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """The plain round and ours: critic steps, generator step, drawing data, moving average."""
        return lambda: self.plain.round(self.size.n_critic), lambda: next(self.rounds)


class _Fixed:
    """Draws the same batch every time."""

    def __init__(self, batch: Any, device: torch.device) -> None:
        self.batch, self.device = batch, device

    def of_round(self, number: int) -> Callable[[], Any]:
        return lambda: self.batch


def _corpus(size: Size, folder: Path) -> Corpus:
    """Random strings of T characters, prepared as a user's are."""
    draw = random.Random(0)
    characters = [chr(0x100 + i) for i in range(size.symbols - RESERVED)]
    path = folder / "lines.txt"
    path.write_text("\n".join("".join(draw.choices(characters, k=size.length)) for _ in range(LINES)), encoding="utf-8")
    corpus = open_dataset(DataConfig(sources=(str(path),), max_length=size.length), folder / "cache")
    assert isinstance(corpus, Corpus)
    assert corpus.shape == (size.length, size.symbols), corpus.shape
    return corpus


def _keys(size: Size) -> dict[str, Any]:
    return {
        "model.width": size.width,
        "batch_size": size.batch,
        "n_critic": size.n_critic,
        "precision": size.precision,
        "device": size.device,
        "ema": 0.999,
    }


def compare(
    plain: Callable[[], object], ours: Callable[[], object], device: torch.device, limit_s: float
) -> dict[str, float]:
    """Median milliseconds of either side and the median of the ratios of neighbours, steps taken in turn."""
    for _ in range(WARM):
        plain()
        ours()
    pairs: list[tuple[float, float]] = []
    while sum(map(sum, pairs)) < limit_s or len(pairs) < 5:
        pairs.append((seconds(plain, device), seconds(ours, device)))
    return {
        "plain_ms": 1e3 * median(a for a, _ in pairs),
        "ours_ms": 1e3 * median(b for _, b in pairs),
        "ratio": median(a / b for a, b in pairs),
    }


def measure(size: Size) -> dict[str, Any]:
    """Everything of one cell, or the peak memory of one side in MiB."""
    torch.set_num_threads(size.threads)
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(size, Path(folder))
    if size.side != "both":
        call = sides.whole_rounds()[size.side == "ours"]
        for _ in range(MEMORY_STEPS):
            call()
        return {"peak_mib": _peak_mib(sides.device)}
    device, dtype = sides.device, torch.bfloat16 if size.precision == "bf16" else torch.float32
    step = compare(*sides.critic_steps(), device, size.seconds)
    round_ = compare(*sides.whole_rounds(), device, size.seconds)
    operations = FORWARDS * forward_operations(size.batch, size.length, size.symbols, size.width)
    return {
        "critic_step": step,
        "round": round_,
        "operations": operations,
        "per_s": operations / step["ours_ms"] * 1e3,
        "gemm_per_s": gemm_per_s(device, dtype),
        "convolution_per_s": convolution_per_s(device, dtype, size.batch, size.length, size.width),
        "strings_per_s": (size.n_critic + 1) * size.batch / round_["ours_ms"] * 1e3,
    }


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    print(json.dumps(measure(Size(**json.loads(sys.argv[1])))))
