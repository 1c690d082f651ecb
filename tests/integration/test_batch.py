"""Offline jobs, one after the other: what is skipped, exported again, told of, and what stops nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.artifact import Artifact
from training import batch as batch_module
from training import export, job, session
from training.batch import Result, run_batch, to_json, to_table
from training.display import PlainDisplay
from training.observer import Look
from training.plan import plan
from training.runs import read_json

COMMON = """\
preset = "tiny"
batch_size = 16
device = "cpu"
max_rounds = {rounds}
{more}
[model]
width = 8
depth = 1
latent = 8
[data]
sources = ["{source}"]
"""
Write = Callable[..., Path]
Batch = Callable[..., list[Result]]


@pytest.fixture
def write(tmp_path: Path, corpus_file: Path) -> Write:
    """Writes a job file."""

    def call(name: str, rounds: int = 2, *, source: str | Path = corpus_file, more: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(COMMON.format(rounds=rounds, source=source, more=more), encoding="utf-8")
        return path

    return call


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Runs job files; code: the exit code that is expected."""
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))
    # The graphs of an export take seconds to trace, and none is run here.
    monkeypatch.setattr(export, "generator_graph", lambda *_: b"graph")
    monkeypatch.setattr(export, "critic_graph", lambda *_: b"graph")

    def call(*jobs: Path, code: int = 0) -> list[Result]:
        results, found = run_batch(jobs, tmp_path / "runs", tmp_path / "models", {})
        assert found == code, results
        return results

    return call


def test_a_model_that_is_not_the_runs_is_exported_again(write: Write, batch: Batch, tmp_path: Path) -> None:
    model = tmp_path / "models" / "names"
    (first,) = batch(write("names"))
    assert (first.state, "exported" in first.detail) == ("trained", True)
    old = Artifact.load(model)
    (again,) = batch(write("names"))
    assert (again.state, again.detail) == ("skipped", f"model {model}, digest {old.digest[:12]}")

    batch(write("names", rounds=4))
    assert Artifact.load(model).config["rounds"] == 4
    os.rename(model, tmp_path / "newer")
    export.export_run(tmp_path / "runs" / "names", model)
    assert batch(write("names", rounds=4))[0].state == "skipped"


def test_an_older_model_of_the_run_is_replaced_even_if_the_job_is_skipped(
    write: Write, batch: Batch, tmp_path: Path
) -> None:
    model = tmp_path / "models" / "names"
    batch(write("names"))
    config, _ = plan({"file": batch_module.read_job(write("names", rounds=3))})
    job.train(config, tmp_path / "runs" / "names", PlainDisplay(), resume=True)
    (result,) = batch(write("names"))
    assert (result.state, result.round, "exported" in result.detail) == ("skipped", 3, True)
    assert Artifact.load(model).config["rounds"] == 3
    assert result.detail.endswith(Artifact.load(model).digest[:12])


@pytest.mark.parametrize("damage", ["a file", "the folder"])
def test_a_damaged_or_missing_model_is_exported_again(write: Write, batch: Batch, tmp_path: Path, damage: str) -> None:
    batch(write("names"))
    model = tmp_path / "models" / "names"
    if damage == "a file":
        (model / "critic.onnx").write_bytes(b"other")
    else:
        os.rename(model, tmp_path / "away")
    assert "exported" in batch(write("names"))[0].detail
    assert Artifact.load(model).read("critic.onnx") == b"graph"


def test_images_and_points_are_told_to_give_no_model(write: Write, batch: Batch, tmp_path: Path) -> None:
    jobs = [write("digits", source="builtin:digits", more='variant = "dcgan"'), write("ring", source="builtin:ring")]
    for _ in range(2):
        details = [result.detail for result in batch(*jobs)]
        for detail, kind in zip(details, ("image", "points"), strict=True):
            assert detail.startswith(f"no model: only text is served, and this is a run on {kind}; ")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("error", [ValueError("a bug"), MemoryError("too large"), OSError(5, "Input/output error")])
def test_an_error_that_nobody_expected_fails_its_job_alone(
    write: Write, batch: Batch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    train = batch_module.train

    def failing(config: Any, run: Path, *rest: Any, **options: Any) -> Any:
        if run.name == "bad":
            raise error
        return train(config, run, *rest, **options)

    monkeypatch.setattr(batch_module, "train", failing)
    bad, good = batch(write("bad"), write("good"), code=1)
    assert (bad.state, bad.detail) == ("failed", f"{type(error).__name__}: {error}")
    assert good.state == "trained"


def test_an_interruption_outside_of_training_ends_the_batch_with_what_there_is(
    write: Write, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_module, "train", interrupt)
    assert [result.state for result in batch(write("a"), write("b"), code=130)] == ["interrupted"]


def test_a_job_with_a_mistake_can_be_corrected(write: Write, batch: Batch) -> None:
    (failed,) = batch(write("names", more='variant = "dcgan"'), code=1)
    assert "dcgan plays image" in failed.detail
    assert batch(write("names"))[0].state == "trained"


def test_a_job_on_one_thread_leaves_the_next_its_own_number(write: Write, batch: Batch, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # The preset tiny takes one thread, the preset small none in particular.
        other = write("other")
        other.write_text(other.read_text().replace("tiny", "small"))
        batch(write("names"), other)
    finally:
        torch.set_num_threads(before)
    threads = [read_json(tmp_path / "runs" / name / "config.json")["threads"] for name in ("names", "other")]
    assert threads == [1, 2]


class Collapsed:
    """An observer to whom every generator has collapsed."""

    def look(self, generator: Any) -> Look:
        return Look(".txt", b"a\n", {"js4": 0.5, "js4_floor": 0.1}, ("a",), "collapse: all are alike")


def test_a_collapse_stands_in_the_summary(write: Write, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(session, "observer_of", lambda *_: Collapsed())
        results = batch(write("names"))
    assert to_json(results)[0]["alarm"] == "round 2: collapse: all are alike"
    assert to_table(results).splitlines()[-1] == "warning: names: round 2: collapse: all are alike"
    assert "warning: names" in to_table(batch(write("names")))
