"""A run that is killed at any instant ends with the weights of an undisturbed one."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoint import load_checkpoint
from training.configuration import Config
from training.display import PlainDisplay
from training.job import train
from training.journal import read_log
from training.layering import resolve

KILLS = 20  # that count, being in training
KILLS_IN_START = 8


def configuration(corpus: Path, rounds: int) -> Config:
    flags: dict[str, Any] = {
        "data.sources": [str(corpus)],
        "data.max_length": 8,
        "model.width": 8,
        "model.depth": 1,
        "model.kernel": 3,
        "model.latent": 8,
        "batch_size": 16,
        "threads": 1,
        "device": "cpu",
        "checkpoint_seconds": 0.01,
        "evaluate_seconds": 0.2,
        "pauses": 100.0,
        "log_seconds": 0.02,
        "max_rounds": rounds,
    }
    return resolve({"test": {"max_seconds": None, **flags}}, preset="tiny")[0]


def play(corpus: str, rounds: int, run: str) -> None:
    folder = Path(run)
    train(configuration(Path(corpus), rounds), folder, PlainDisplay(), resume=(folder / "config.json").is_file())


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree, key=str) for leaf in leaves(tree[key])]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree]


def final_state(run: Path) -> dict[str, Any]:
    state = load_checkpoint(run / "checkpoints", torch.device("cpu"))
    assert state is not None
    return {key: value for key, value in state.items() if not key.endswith("seconds")}


@pytest.mark.timeout(600)
def test_a_run_killed_twenty_times_ends_with_the_weights_of_an_undisturbed_one(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))
    # Children of a fork server have torch imported already, so that a start is quick.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.job"])
    draw, run = random.Random(0), tmp_path / "killed"

    def start(folder: Path, rounds: int) -> Any:
        process = context.Process(target=play, args=(str(corpus_file), rounds, str(folder)))
        process.start()
        return process

    def kill(process: Any) -> None:
        assert process.is_alive(), "the run ended before the kill"
        process.kill()
        process.join()

    # Some are killed while they start, at any moment of it.
    began = time.monotonic()
    process = start(run, 10**9)
    setup = wait_for(lambda: reached(run) > 0) - began
    kill(process)
    for _ in range(KILLS_IN_START):
        process = start(run, 10**9)
        process.join(draw.uniform(0.0, setup))
        kill(process)

    # The others are killed in training, and count only if the process that is killed has played rounds of its own.
    kills = 0
    for _ in range(2 * KILLS):
        before = reached(run)
        process = start(run, 10**9)
        wait_for(lambda before=before: reached(run) > before)  # type: ignore[misc]
        process.join(draw.uniform(0.0, 0.3))
        kill(process)
        kills += reached(run) > before
        if kills == KILLS:
            break
    assert kills == KILLS

    rounds = reached(run) + 50
    resumed, calm = start(run, rounds), start(tmp_path / "calm", rounds)
    resumed.join()
    calm.join()
    assert (resumed.exitcode, calm.exitcode) == (0, 0)
    expected, found = final_state(tmp_path / "calm"), final_state(run)
    assert found["round"] == expected["round"] == rounds
    for a, b in zip(leaves(expected), leaves(found), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    logged = [row["round"] for row in read_log(run)]
    assert logged == sorted(set(logged))
    assert not list(run.rglob("*.partial"))
    assert all(int(path.stem) <= rounds for path in (run / "samples").iterdir())


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    """The time at which a condition became true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return time.monotonic()


def reached(run: Path) -> int:
    """The round of the newest checkpoint: what a process has added to it, no other one takes away."""
    return max((int(path.stem.partition("-")[2]) for path in (run / "checkpoints").glob("round-*.pt")), default=0)
