"""A disk that is full at any moment of a run: one line that says so, the checkpoint intact, and later it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import charwgan
from training import entry
from training.checkpoint import load_checkpoint
from training.configuration import DataConfig
from training.data import open_dataset

ROOT = Path(charwgan.__file__).parent
SMALL = {"model.width": 8, "model.depth": 1, "model.latent": 8}
BOUNDED = """
import resource, sys
largest = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
import charwgan
charwgan.main()
"""


@pytest.fixture
def corpus(corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file, prepared already: what becomes of the cache is the data's affair."""
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    open_dataset(DataConfig(sources=(str(corpus_file),)))
    return str(corpus_file)


def train_within(largest: int, *arguments: str, **assignments: Any) -> str:
    """Train in a process that can write files of at most so many bytes; returns the last line that it printed."""
    command = [sys.executable, "-c", BOUNDED, str(largest), "train", "--run=run", "--preset=tiny", "--device=cpu"]
    sets = [f"--set={key}={value}" for key, value in {**SMALL, **assignments}.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([*command, *sets, *arguments], env=environment, capture_output=True, text=True, timeout=250)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
    return ended.stderr.splitlines()[-1]


def train_freely(corpus: str, rounds: int, **assignments: Any) -> None:
    """Train or continue in this process."""
    run = Path("run")
    again = (run / "config.json").is_file()
    layers = entry.layers_of(data=[] if again else [corpus], run=run if again else None, environment={})
    flags = {"max_rounds": rounds, **({} if again else {"preset": "tiny", "device": "cpu", **SMALL}), **assignments}
    entry.train({**layers, "test": flags}, run, resume=again, allow_changes=False)


@pytest.mark.parametrize(
    ("largest", "file"),
    [
        (300, "tokenizer.json"),
        (9_000, "training-hashes.safetensors"),
        (25_000, "round-0000000003.pt"),
        (120_000, "report.html"),
    ],
)
def test_a_disk_that_is_full_at_a_file_is_one_line_and_no_obstacle_later(corpus: str, largest: int, file: str) -> None:
    last = train_within(largest, corpus, "--max-rounds", "3")
    assert last.startswith("charwgan: cannot write ")
    assert file in last
    assert "File too large" in last
    assert not list(Path("run").rglob("*.partial"))
    train_freely(corpus, 3)
    assert Path("run/report.html").is_file()


def test_a_disk_that_fills_while_training_leaves_the_last_checkpoint(corpus: str) -> None:
    train_freely(corpus, 3)
    # Rows and events grow without end, the checkpoints do not.
    largest = 2 * max(path.stat().st_size for path in Path("run/checkpoints").iterdir())
    often = {"log_seconds": 0.001, "checkpoint_seconds": 0.05, "pauses": 100.0}
    last = train_within(largest, "--resume", "--max-rounds", "1000000", **often)
    assert last.endswith("log.jsonl: File too large; continue with --resume")
    state = load_checkpoint(Path("run/checkpoints"), torch.device("cpu"))
    assert state is not None
    assert state["round"] > 3
    train_freely(corpus, state["round"] + 1)
