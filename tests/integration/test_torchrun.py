"""The command lines under torchrun itself: a killed worker costs nothing but time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import in_ranks
from small_runs import CPU

import charwgan
from training.checkpoint import load_checkpoint
from training.display import SilentDisplay
from training.job import train
from training.journal import read_log
from training.layering import read_job
from training.plan import plan

ROUNDS = 300
DEADLINE_S = 90.0
JOB = f"""
preset = "tiny"
device = "cpu"
batch_size = 8
max_rounds = {ROUNDS}
max_seconds = 600
checkpoint_seconds = 0.01
pauses = 100
threads = 1
[data]
sources = ["builtin:ring"]
[model]
width = 8
depth = 1
"""


@contextmanager
def torchrun(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Two ranks under torchrun in a folder; all of them killed at the end if they are still there."""
    root = str(Path(charwgan.__file__).parent)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": root, "PATH": path, "CHARWGAN_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--monitor-interval", "0.05", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            for worker in workers(process).values():
                os.kill(worker, signal.SIGKILL)
            process.kill()


def workers(agent: subprocess.Popen[str]) -> dict[int, int]:
    """The process of each rank that torchrun has started."""
    found = {}
    for path in Path(f"/proc/{agent.pid}/task").glob("*/children"):
        for child in path.read_text().split():
            variables = dict(
                item.partition("=")[::2] for item in Path(f"/proc/{child}/environ").read_text().split("\0")
            )
            if "RANK" in variables:
                found[int(variables["RANK"])] = int(child)
    return found


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def reached(run: Path) -> int:
    """The round of the newest checkpoint."""
    return max((int(path.stem.partition("-")[2]) for path in (run / "checkpoints").glob("round-*.pt")), default=0)


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree, key=str) for leaf in leaves(tree[key])]
    return [leaf for item in tree for leaf in leaves(item)] if isinstance(tree, list | tuple) else [tree]


def final_state(run: Path) -> list[Any]:
    state = load_checkpoint(run / "checkpoints", CPU)
    assert state is not None
    assert state["round"] == ROUNDS
    return leaves({key: value for key, value in state.items() if not key.endswith("seconds")})


def undisturbed(job: Path, run: Path) -> None:
    train(plan({"file": read_job(job)})[0], run, SilentDisplay())


@pytest.mark.timeout(300)
def test_a_job_whose_worker_is_killed_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    job, killed = tmp_path / "job.toml", tmp_path / "killed"
    job.write_text(JOB, encoding="utf-8")
    # Two dashes, since torchrun would take --run for the beginning of an option of its own.
    with torchrun(tmp_path, "--max-restarts", "1", "-m", "--", "training", str(job), "--run", "killed") as process:
        wait_for(lambda: reached(killed) > 0, process)
        # The one that holds the run's folder and may be writing to it.
        os.kill(workers(process)[0], signal.SIGKILL)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert err.count("continuing at round") == 1
    assert f"\nkilled: {ROUNDS} rounds" in out
    in_ranks(2, undisturbed, job, tmp_path / "calm")
    for one, other in zip(final_state(tmp_path / "calm"), final_state(killed), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    logged = [row["round"] for row in read_log(killed)]
    assert logged == sorted(set(logged))


def test_the_verb_under_torchrun_is_one_run(tmp_path: Path) -> None:
    verb = ("charwgan", "train", "builtin:ring", "--preset", "tiny", "--max-rounds", "2", "--device", "cpu")
    with torchrun(tmp_path, "--no-python", "--", *verb, "--run", "r", "--set", "model.width=8") as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert out.count("2 rounds in") == out.count("report:") == 1
    assert err.count("2 ranks, each with 128 samples of a batch") == 1
