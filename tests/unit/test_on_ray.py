"""The launcher for Ray without a cluster: what a worker does with errors, and what is refused before one is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from model.errors import CharwganError, ConfigurationError, DataError, MissingDependencyError, RunError, RunExistsError
from training import entry
from training.distributed import RankLostError
from training.job import Outcome
from training.on_ray import Job, play_rank, train

JOB = 'preset = "tiny"\ndata.sources = "builtin:ring"\n'


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Has a rank end in some way, in a folder; returns what the worker makes of it, and how the rank was started."""

    def call(end: Any, folder: Path = tmp_path) -> tuple[Any, dict[str, Any]]:
        started: dict[str, Any] = {}

        def play(layers: entry.Layers, run: Path, **options: Any) -> Any:
            started.update(options, folder=Path.cwd())
            if isinstance(end, BaseException):
                raise end
            return end

        monkeypatch.setattr(entry, "train", play)
        return play_rank(Job({}, folder, Path("run"))), started

    return call


@pytest.mark.parametrize("end", [Outcome(Path("run"), 3, 1.0, 1.0), DataError("no data"), RunError("a full disk")])
def test_what_another_try_would_repeat_is_handed_back(ending: Any, end: Any) -> None:
    assert ending(end)[0] is end


def test_a_lost_rank_is_an_error_so_that_ray_starts_a_new_group(ending: Any) -> None:
    with pytest.raises(RankLostError, match="gone"):
        ending(RankLostError("gone"))


def test_a_rank_that_another_speaks_for_says_nothing(ending: Any) -> None:
    assert ending(SystemExit(2))[0] is None


def test_a_worker_plays_in_the_folder_of_the_command_and_continues_what_is_there(ending: Any, tmp_path: Path) -> None:
    outcome = Outcome(Path("run"), 3, 1.0, 1.0)
    fresh = {"resume": False, "allow_changes": False, "folder": tmp_path}
    assert ending(outcome)[1] == fresh
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert ending(outcome)[1] == {**fresh, "resume": True}


def test_a_worker_without_that_folder_says_so(ending: Any, tmp_path: Path) -> None:
    told, _ = ending(None, tmp_path / "elsewhere")
    assert isinstance(told, RunError)
    assert f"a worker has no folder {tmp_path / 'elsewhere'}: start from one that all of them share" in str(told)


def asked(*arguments: str) -> None:
    train.main(list(arguments), standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["job.toml", "--run", "begun"], RunExistsError, "begun holds a run already: continue it with --resume"),
        (["missing.toml", "--run", "run"], ConfigurationError, "cannot read the job file missing.toml"),
        (["job.toml", "--run", "run", "--set", "n_critic=0"], ConfigurationError, "n_critic: .* got 0"),
        (["job.toml", "--run", "run"], MissingDependencyError, r"needs ray, .* pip install '\.\[ray\]'"),
    ],
)
def test_wrong_use_is_told_before_a_cluster_is_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    error: type[CharwganError],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "job.toml").write_text(JOB)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text("{}")
    with pytest.raises(error, match=message):
        asked(*arguments)
