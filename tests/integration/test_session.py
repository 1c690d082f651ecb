"""A run in this process: what it writes, what it refuses before it takes a run's place, and how it goes on."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from model.artifact import Artifact
from model.errors import ArtifactError, ConfigurationError, RunError
from model.novelty import Novelty
from training import session
from training.appraisal import appraise
from training.configuration import Config
from training.display import PlainDisplay, Progress
from training.export import export_run
from training.job import Outcome, train
from training.journal import read_log
from training.observer import Look
from training.plan import plan
from training.report import write_report
from training.runs import read_config, read_json, write_json

SMALL: dict[str, Any] = {
    "preset": "tiny",
    "model.width": 8,
    "model.depth": 1,
    "model.latent": 8,
    "batch_size": 16,
    "device": "cpu",
    "max_seconds": 600.0,
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))


class Quiet(PlainDisplay):
    """Keeps what is said; sends this process a signal when it is first shown something, if there is one to send."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__()
        self.said: list[str] = []
        self._number = number

    def say(self, message: str) -> None:
        self.said.append(message)

    def show(self, progress: Progress, *, looked: bool) -> None:
        if self._number is not None:
            os.kill(os.getpid(), self._number)
            self._number = None


def configured(corpus: Path | str, rounds: int, **changed: Any) -> Config:
    return plan({"flag": {**SMALL, "data.sources": [str(corpus)], "max_rounds": rounds, **changed}})[0]


def play(corpus: Path | str, run: Path, rounds: int, *, again: bool = False, **changed: Any) -> tuple[Outcome, Quiet]:
    """Play up to a round; again: continue, and allow whatever changed."""
    display = Quiet()
    return train(configured(corpus, rounds, **changed), run, display, resume=again, allow_changes=again), display


def interrupted(corpus: Path | str, run: Path, *, again: bool = False) -> Outcome:
    """Play until the first row of the log, then be interrupted by SIGINT."""
    config = configured(corpus, 10**9, log_seconds=1e-3)
    return train(config, run, Quiet(signal.SIGINT), resume=again, allow_changes=again)


def test_the_samples_of_each_look_are_beside_the_figures(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path / "text", 2)
    play("builtin:digits", tmp_path / "images", 2, variant="dcgan", **{"data.max_length": None})
    tags = {}
    for kind in ("text", "images"):
        (events,) = (tmp_path / kind / "events").iterdir()
        data, tags[kind] = events.read_bytes(), set()
        while data:
            length = int.from_bytes(data[:8], "little")
            tags[kind] |= {value.tag for value in Event.FromString(data[12 : 12 + length]).summary.value}
            data = data[16 + length :]
    assert {"samples/text_summary", "critic/wasserstein", "score/js4"} <= tags["text"]
    assert "samples" in tags["images"]


def test_the_report_of_a_real_run_tells_its_speed(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path / "run", 2)
    speed = list(read_log(tmp_path / "run"))[-1]["samples_per_second"]
    assert f"{speed:,.0f} samples/s at the end" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_the_number_of_threads_is_written_down_and_the_process_gets_its_own_back(
    corpus_file: Path, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        play(corpus_file, tmp_path / "one", 1, threads=1)
        assert (read_config(tmp_path / "one").threads, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(before)
    play(corpus_file, tmp_path / "unset", 1, threads=None)
    assert read_config(tmp_path / "unset").threads == before


def test_a_run_that_goes_on_with_other_threads_is_warned_of(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path, 1, threads=1)
    write_json(tmp_path / "config.json", {**read_json(tmp_path / "config.json"), "threads": 2})
    warning = "warning: this run used threads = 2 and goes on with 1: "
    assert any(said.startswith(warning) for said in play(corpus_file, tmp_path, 2, again=True, threads=1)[1].said)
    assert not any("threads" in said for said in play(corpus_file, tmp_path, 3, again=True, threads=1)[1].said)


def test_networks_that_do_not_fit_leave_the_run_as_it_was(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path / "run", 2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.json")}
    with pytest.raises(
        RunError, match=r"does not fit these networks: changed were model\.width: 8 -> 16: leave that out"
    ):
        play(corpus_file, tmp_path / "run", 3, again=True, **{"model.width": 16})
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.json")} == before
    assert play(corpus_file, tmp_path / "run", 3, again=True)[0].round == 3
    appraise(tmp_path / "run", (), n=50, seed=0)


def test_what_cannot_be_played_takes_no_runs_place(corpus_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="dcgan plays image"):
        play(corpus_file, tmp_path / "run", 2, variant="dcgan")
    assert not (tmp_path / "run" / "config.json").exists()
    other = tmp_path / "other.txt"
    other.write_text("anna\nbea\ncarl\n" * 20)
    hashes = tmp_path / "run" / "training-hashes.safetensors"
    hashes.parent.mkdir(exist_ok=True)
    hashes.write_bytes(b"of another attempt, that was killed")
    assert play(other, tmp_path / "run", 2)[0].round == 2
    assert Novelty.from_bytes(hashes.read_bytes(), hashes).contains(["anna", "dora"]).tolist() == [True, False]


def test_a_checkpoint_of_other_networks_is_an_error_of_export_and_not_a_traceback(
    corpus_file: Path, tmp_path: Path
) -> None:
    play(corpus_file, tmp_path / "run", 1)
    config = read_json(tmp_path / "run" / "config.json")
    config["model"]["width"] = 16
    write_json(tmp_path / "run" / "config.json", config)
    with pytest.raises(RunError, match="the checkpoint does not fit the networks of the run's config"):
        export_run(tmp_path / "run", tmp_path / "model")


def test_starting_sweeps_what_a_kill_left_and_evaluating_does_not(corpus_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    play(corpus_file, run, 1)
    leftover = run / "checkpoints" / "round-0000000099.partial"
    leftover.touch()
    appraise(run, (), n=50, seed=0)
    assert leftover.exists()
    play(corpus_file, run, 2, again=True)
    assert not leftover.exists()


def test_scores_do_not_outlive_the_rounds_that_they_are_of(corpus_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    play(corpus_file, run, 2)
    assert (read_json(run / "metrics.json")["round"], read_json(run / "result.json")["round"]) == (2, 2)
    stale = (run / "metrics.json").read_bytes()
    outcome = interrupted(corpus_file, run, again=True)
    assert (outcome.signal, outcome.round > 2) == (signal.SIGINT, True)
    assert not (run / "metrics.json").exists()
    assert not (run / "result.json").exists()

    (run / "metrics.json").write_bytes(stale)
    export_run(run, tmp_path / "model")
    model = Artifact.load(tmp_path / "model")
    assert (model.config["rounds"], model.metrics) == (outcome.round, {})
    page = write_report(run).read_text(encoding="utf-8")
    assert f"metrics.json is left out: it is of round 2, and the run is at round {outcome.round}" in page
    assert "Markov 3" not in page


def test_a_finished_run_that_is_started_again_keeps_its_scores(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path, 2)
    scores = read_json(tmp_path / "metrics.json")
    play(corpus_file, tmp_path, 2, again=True)
    assert read_json(tmp_path / "metrics.json") == scores


class Collapsed:
    """An observer to whom every generator has collapsed."""

    def look(self, generator: torch.nn.Module) -> Look:
        return Look(".txt", b"a\n", {"js4": 0.5, "js4_floor": 0.1}, ("a",), "collapse: all are alike")


def test_a_collapse_is_in_the_log_in_the_result_and_in_the_report(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(session, "observer_of", lambda *_: Collapsed())
        _, display = play(corpus_file, tmp_path, 2)
    assert "warning: round 2: collapse: all are alike" in display.said
    assert list(read_log(tmp_path))[-1]["alarm"] == "collapse: all are alike"
    assert read_json(tmp_path / "result.json")["alarm"] == "round 2: collapse: all are alike"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "alarms: 1, the last at round 2, and still at the last look: collapse: all are alike" in page


def test_the_seed_of_the_models_strings_is_stated_and_moves_no_other_row(corpus_file: Path, tmp_path: Path) -> None:
    play(corpus_file, tmp_path / "run", 2)
    rows = {row["name"]: row["seed"] for row in read_json(tmp_path / "run" / "metrics.json")["rows"]}
    assert rows["model"] == [0]
    tables = [appraise(tmp_path / "run", (), n=60, seed=seed)[0] for seed in (0, 5)]
    assert [table.seed for table in tables] == [0, 0]
    assert [row.seed for table in tables for row in table.rows if row.name == "run"] == [(0,), (5,)]
    assert tables[0]["real"] == tables[1]["real"]
    assert tables[0]["run"] != tables[1]["run"]


def test_other_data_is_read_at_the_models_length_and_by_its_own_columns(corpus_file: Path, tmp_path: Path) -> None:
    lines = corpus_file.read_text(encoding="utf-8").splitlines()
    table, longer = tmp_path / "names.csv", tmp_path / "longer.txt"
    table.write_text("number,name\n" + "".join(f"{i},{line}\n" for i, line in enumerate(lines)))
    longer.write_text("".join(f"{line}{line}\n" for line in lines))
    play(table, tmp_path / "run", 1, **{"data.column": "name"})
    length = read_json(tmp_path / "run" / "data.json")["length"]
    found, warning = appraise(tmp_path / "run", (str(longer),), n=60, seed=0)
    assert found.length == length < 16
    assert warning is not None
    assert appraise(tmp_path / "run", (str(table),), n=60, seed=0)[1] is None


@pytest.mark.parametrize("reason", ["no 'training'", "Extra inputs are not permitted"])
def test_a_model_of_another_version_is_refused_by_name(
    corpus_file: Path, tiny_model: Path, tmp_path: Path, reason: str
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    config = read_json(model / "config.json")
    config |= {"training": {**config["training"], "unknown": 1}}
    if "training" in reason:
        del config["training"]
    replace(model, "config.json", json.dumps(config).encode())
    with pytest.raises(ArtifactError, match=rf"config\.json does not say how the model was trained .*{reason}"):
        appraise(model, (str(corpus_file),), n=50, seed=0)


def replace(model: Path, name: str, data: bytes) -> None:
    """Another content of a file of a model, its digest right."""
    (model / name).write_bytes(data)
    manifest = read_json(model / "manifest.json")
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    write_json(model / "manifest.json", manifest)


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_run_on_standard_input_goes_on_without_it(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    standard_input(monkeypatch, corpus_file.read_bytes())
    play("-", run, 2)
    standard_input(monkeypatch, b"")
    assert play("-", run, 4, again=True)[0].round == 4
    assert appraise(run, (), n=60, seed=0)[1] is None
    export_run(run, tmp_path / "model")
    assert str(tmp_path) not in json.dumps(Artifact.load(tmp_path / "model").config)
    with pytest.raises(ConfigurationError, match=r"was trained on standard input, which is gone: .*--data"):
        appraise(tmp_path / "model", (), n=60, seed=0)
    with pytest.raises(RunError, match=r"its data\.\* keys cannot be changed"):
        play("-", run, 5, again=True, **{"data.max_length": 4})
    for part in (run / "corpus").glob("*/train.npy"):
        part.write_bytes(b"damaged")
    with pytest.raises(RunError, match="is damaged: start another run"):
        play("-", run, 5, again=True)
