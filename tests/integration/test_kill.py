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
from training.configuration import Config, resolve
from training.display import PlainDisplay
from training.job import train
from training.journal import read_log

KILLS = 20


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
    # Children of a fork server have torch imported already, so that most kills fall into training itself.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.job"])

    def start(run: Path, rounds: int) -> Any:
        process = context.Process(target=play, args=(str(corpus_file), rounds, str(run)))
        process.start()
        return process

    # How long a start takes until rounds are played, and how many of them a second has.
    start(tmp_path / "warm-up", 1).join()
    probe, began = start(tmp_path / "probe", 10**9), time.monotonic()
    setup = wait_for(lambda: rounds_of(tmp_path / "probe") > 0) - began
    rate = rounds_of(tmp_path / "probe", after=1.0)
    probe.kill()
    probe.join()
    delays = [random.Random(0).uniform(0.5, 1.5) * setup for _ in range(KILLS)]
    # Enough rounds that the last of the kills still finds the run unfinished.
    rounds = int(2 * rate * sum(max(0.0, delay - setup) for delay in delays)) + 100

    checkpoints = tmp_path / "killed" / "checkpoints"
    kills = kills_in_training = 0
    for delay in delays:
        process = start(tmp_path / "killed", rounds)
        process.join(delay)
        assert process.is_alive(), "the run ended before the last of the kills"
        process.kill()
        process.join()
        kills, kills_in_training = kills + 1, kills_in_training + bool(list(checkpoints.glob("round-*.pt")))
    resumed, calm = start(tmp_path / "killed", rounds), start(tmp_path / "calm", rounds)
    resumed.join()
    calm.join()

    assert (resumed.exitcode, calm.exitcode) == (0, 0)
    assert kills == KILLS
    assert kills_in_training >= KILLS // 2
    expected, found = final_state(tmp_path / "calm"), final_state(tmp_path / "killed")
    assert found["round"] == expected["round"] == rounds
    for a, b in zip(leaves(expected), leaves(found), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    logged = [row["round"] for row in read_log(tmp_path / "killed")]
    assert logged == sorted(set(logged))
    assert not list((tmp_path / "killed").rglob("*.partial"))


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    """The time at which a condition became true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return time.monotonic()


def rounds_of(run: Path, after: float = 0.0) -> float:
    """The round of the newest row, or with ``after`` the rounds a second over that many seconds."""
    first = max((row["round"] for row in read_log(run)), default=0)
    if not after:
        return first
    time.sleep(after)
    return (rounds_of(run) - first) / after
