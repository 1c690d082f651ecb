"""A run's folder: written whole or not at all, swept by the holder of its lock, told from what is no run yet."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from model.errors import RunError
from training.runs import (
    drop_results,
    is_look,
    is_run,
    locked,
    resume_command,
    sweep,
    write_json,
    write_whole,
)


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_json_is_written_whole_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"state": "finished", "name": "ñ", "scores": {"a": 0.1}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"state": "finished", "name": "ñ", "scores": {"a": 0.1}}
    assert "ñ" in path.read_text(encoding="utf-8")
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("call", ["replace", "open"])
def test_what_cannot_be_written_leaves_the_old_one_and_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "tokenizer.json"
    write_whole(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(*((os, "replace") if call == "replace" else (Path, "open")), full)
        with pytest.raises(RunError, match=r"cannot write .*tokenizer\.json: No space left on device"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["tokenizer.json"]
    with pytest.raises(RunError, match=r"cannot write .*: No such file or directory"):
        write_json(tmp_path / "missing" / "result.json", {})


def test_a_sweep_removes_what_was_half_written_and_nothing_else(tmp_path: Path) -> None:
    kept = ["config.json", "checkpoints/round-0000000003.pt", "samples/00000003.txt", "corpus/0a.partial/train.npy"]
    left = ["config.json.partial", "checkpoints/round-0000000004.partial", "samples/00000004.txt.partial"]
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_dropping_results_leaves_the_rest(tmp_path: Path) -> None:
    for name in ("result.json", "metrics.json", "config.json"):
        (tmp_path / name).touch()
    drop_results(tmp_path)
    drop_results(tmp_path)
    assert names(tmp_path) == ["config.json"]


def test_a_folder_is_a_run_once_it_has_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "data.json").touch()
    assert not is_run(tmp_path)
    (tmp_path / "config.json").touch()
    assert is_run(tmp_path)


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="is in use by another process"), locked(tmp_path):
        pass


def test_the_command_that_resumes_can_be_typed_whatever_the_folder_is_called() -> None:
    assert resume_command(Path("runs/names")) == "charwgan train --run runs/names --resume"
    assert resume_command(Path("my run/it's")) == """charwgan train --run 'my run/it'"'"'s' --resume"""


def test_a_row_with_scores_or_an_alarm_is_of_a_look() -> None:
    assert is_look({"round": 1, "score/js4": 0.5})
    assert is_look({"round": 1, "alarm": "collapse"})
    assert not is_look({"round": 1, "critic/wasserstein": 0.5})
