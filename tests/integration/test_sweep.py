"""A sweep from the command line to its end: what it leaves, and what an interruption changes, which is nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from optuna.trial import FrozenTrial, TrialState

import charwgan
from model.errors import ConfigurationError, RunError, RunExistsError
from training import report
from training.configuration import Config
from training.journal import NonFiniteError
from training.layering import flatten, parse_assignment, read_job
from training.plan import plan
from training.runs import differences, read_config, read_json
from training.sweep import results, study
from training.sweep.results import best_of, to_json, to_table
from training.sweep.study import Sweep

ROOT = Path(charwgan.__file__).parent
SMALL = "preset=tiny device=cpu threads=1 model.width=4 model.depth=1 model.latent=8 batch_size=16 max_rounds=3"
SEARCH = ("lr_critic=1e-4..1e-2:log", "model.width=4,8", "n_critic=1..2")
TRIALS = 3
DEADLINE_S = 120.0
Make = Callable[..., Sweep]


def without_figures(run: Path) -> None:
    """In the place of the report, whose figures would take most of the time."""


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(report, "write_report", without_figures)


def sweep_of(folder: Path, data: Path | str, search: tuple[str, ...] = SEARCH, **changed: Any) -> Sweep:
    flags = dict(map(parse_assignment, SMALL.split()))
    return Sweep(folder, {"flag": {**flags, "data.sources": (str(data),), **changed}}, search)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Iterator[tuple[Sweep, list[FrozenTrial]]]:
    """A sweep of three trials, undisturbed."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CHARWGAN_CACHE", str(folder / "cache"))
        patched.setattr(report, "write_report", without_figures)
        sweep = sweep_of(folder / "sweep", corpus_file)
        trials, _ = sweep.play(TRIALS)
        yield sweep, trials


def outcomes(trials: list[FrozenTrial]) -> list[Any]:
    return [(trial.number, trial.state, trial.params, trial.value) for trial in trials]


Played = tuple[Sweep, list[FrozenTrial]]


def test_every_trial_is_a_run_of_its_own_with_its_values(played: Played) -> None:
    sweep, trials = played
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    assert len({tuple(trial.params.values()) for trial in trials}) == TRIALS
    for trial in trials:
        told = dict(flatten(read_config(sweep.run_of(trial.number)).model_dump()))
        assert {key: told[key] for key in trial.params} == trial.params
        assert read_json(sweep.run_of(trial.number) / "result.json")["round"] == 3


def test_the_best_trial_is_the_one_of_the_least_score_and_a_job_file_plays_it(played: Played, tmp_path: Path) -> None:
    sweep, trials = played
    told = results.conclude(sweep, trials, as_json=False)
    best = min(trials, key=lambda trial: trial.value or 0)
    assert f"best: trial {best.number}, {sweep.run_of(best.number)}" in told
    job = read_job(sweep.folder / "best.toml")
    config, _ = plan({"file": job})
    assert not differences(read_config(sweep.run_of(best.number)), config)
    assert config.max_rounds == 3


def test_a_job_file_says_every_kind_of_value_as_it_is() -> None:
    keys = {
        "preset": "tiny",
        "lr_critic": 1.5e-05,
        "seed": 3,
        "data.column": 'a "b" \\ ü 😀',
        "data.sources": ("a", "b"),
    }
    read = dict(flatten(tomllib.loads(results.to_toml(keys, "a comment"))))
    assert read == {**keys, "data.sources": ["a", "b"]}


def test_table_and_json_tell_every_trial(played: Played) -> None:
    sweep, trials = played
    rows = to_table(trials, [dimension.key for dimension in sweep.space]).splitlines()
    assert rows[0].split() == ["trial", "state", "score", "JS-4", "copy", "uniq", "rounds", "lr_critic",
                               "model.width", "n_critic"]  # fmt: skip
    assert [row.split()[:3] for row in rows[1:]] == [
        [str(trial.number), "finished", f"{trial.value:.4f}"] for trial in trials
    ]
    told = to_json(sweep, trials)
    best = best_of(trials)
    assert best is not None
    assert told["best"] == best.number
    assert [row["values"] for row in told["trials"]] == [trial.params for trial in trials]
    assert all(
        {"score", "js4_padded", "copied", "unique", "round", "seconds", "run"} <= set(row) for row in told["trials"]
    )


def test_the_figure_has_a_panel_for_the_trials_and_for_each_key(played: Played) -> None:
    sweep, trials = played
    results.conclude(sweep, trials, as_json=True)
    height, width, _ = imread(sweep.folder / "sweep.png").shape
    assert (height, width) == (720, 1080), "four panels, three beside each other"


def test_more_trials_go_on_where_it_ended_and_fewer_change_nothing(played: Played, tmp_path: Path) -> None:
    sweep, trials = played
    again, _ = sweep.play(1)
    assert outcomes(again) == outcomes(trials)
    assert sorted(path.name for path in (sweep.folder / "trials").iterdir()) == ["000", "001", "002"]


@pytest.mark.parametrize("when", ["in preparation", "while it is scored"])
def test_a_sweep_that_was_cut_off_ends_like_one_undisturbed(
    played: Played, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sweep, train = sweep_of(tmp_path / "cut", corpus_file), study.train_run

    def cut(config: Config, run: Path, *rest: Any, **options: Any) -> Any:
        if run.name == "001":
            if when != "in preparation":
                train(config, run, *rest, **options)
            raise KeyboardInterrupt
        return train(config, run, *rest, **options)

    monkeypatch.setattr(study, "train_run", cut)
    with pytest.raises(KeyboardInterrupt):
        sweep.play(TRIALS)
    monkeypatch.setattr(study, "train_run", train)
    assert outcomes(sweep.play(TRIALS)[0]) == outcomes(played[1])


def test_a_trial_that_fails_or_diverges_does_not_stop_the_others(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, train = sweep_of(tmp_path / "sweep", corpus_file), study.train_run
    errors = {"001": MemoryError("too large"), "002": NonFiniteError("a term is nan; go on with smaller steps")}

    def failing(config: Config, run: Path, *rest: Any, **options: Any) -> Any:
        if run.name in errors:
            raise errors[run.name]
        return train(config, run, *rest, **options)

    monkeypatch.setattr(study, "train_run", failing)
    trials, _ = sweep.play(4)
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]
    assert [trial.state for trial in trials] == states
    told = results.conclude(sweep, trials, as_json=False)
    assert "trial 1: MemoryError: too large\ntrial 2: a term is nan\n" in told


def test_it_stops_when_trial_after_trial_fails(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RunError("no space left")

    monkeypatch.setattr(study, "train_run", full)
    with pytest.raises(RunError, match="no use in going on, the last trials failed: no space left"):
        sweep_of(tmp_path / "sweep", corpus_file).play(100)


def test_a_folder_keeps_the_sweep_that_was_begun_there(played: Played, corpus_file: Path) -> None:
    sweep, _ = played
    with pytest.raises(RunError, match=r"holds another sweep \(max_rounds: 3 -> 4\): choose another with --run"):
        sweep_of(sweep.folder, corpus_file, max_rounds=4).play(TRIALS)
    with pytest.raises(RunError, match=r"another sweep \(search: .*n_critic=1\.\.3"):
        sweep_of(sweep.folder, corpus_file, (*SEARCH[:2], "n_critic=1..3")).play(TRIALS)
    with pytest.raises(RunExistsError, match="holds a run: choose another"):
        sweep_of(sweep.run_of(0), corpus_file).play(TRIALS)
    assert sweep_of(sweep.folder, corpus_file, log_seconds=9.0, threads=None).play(TRIALS)[1] is None


VERB = ["sweep", "--search", "n_critic=1..2", "--search", "lr_critic=1e-4..1e-2:log", "--trials", "2", "--run", "sweep"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """Runs the verb in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        settings = [f"--set={item}" for item in SMALL.split()]
        monkeypatch.setattr(sys, "argv", ["charwgan", *VERB, *settings, *arguments])
        with pytest.raises(SystemExit) as stopped:
            charwgan.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "missing.txt"),
        (["builtin:ring"], "a sweep puts trials in order by the scores of their strings: only text has them"),
        (["-"], "every trial reads the data, and - can be read once: write it to a file"),
        (["builtin:names", "--search", "model.widht=1,2"], "unknown configuration key 'model.widht'"),
        (["builtin:names", "--search", "lr_generator=1..0"], "lr_generator: the lower bound must be below"),
        ([], "no data"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(
    run: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "sweep").exists()


def test_a_job_without_an_end_is_refused(tmp_path: Path, corpus_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="a trial needs an end: set one of max_seconds, max_rounds"):
        sweep_of(tmp_path / "sweep", corpus_file, max_rounds=None, max_seconds=None)


def test_json_is_all_that_goes_to_standard_output(run: Callable[..., Any], corpus_file: Path) -> None:
    code, out, err = run(str(corpus_file), "--json")
    assert code == 0
    assert [trial["state"] for trial in json.loads(out)["trials"]] == ["finished", "finished"]
    assert "trial 0 (of 2): " in err


def test_without_optuna_the_command_that_installs_it_is_told(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("training.sweep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = run("builtin:names")
    assert (code, err.count("\n")) == (1, 1)
    assert "this verb needs optuna, which is not installed: pip install '.[sweep]'" in err


def start(folder: Path, corpus_file: Path, rounds: int) -> subprocess.Popen[str]:
    """The verb as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    settings = [f"--set={item}" for item in SMALL.split()]
    command = [sys.executable, "-m", "charwgan", *VERB, *settings, f"--max-rounds={rounds}"]
    command += ["--trials=1", "--set=checkpoint_seconds=0.01", "--set=pauses=100", str(corpus_file)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


def wait_for(checkpoints: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not any(checkpoints.glob("*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_signal_the_same_command_takes_the_trial_up(
    tmp_path: Path, corpus_file: Path, number: signal.Signals
) -> None:
    with start(tmp_path, corpus_file, 400) as process:
        wait_for(tmp_path / "sweep" / "trials" / "000" / "checkpoints", process)
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number), err
    with start(tmp_path, corpus_file, 400) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert out.splitlines()[1].split()[:2] == ["0", "finished"]
    assert err.count("continuing at round") == 1
