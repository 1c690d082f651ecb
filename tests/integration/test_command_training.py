"""Training by the command line: what is refused, what is resumed, what is left behind."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from command import SMALL, Run, process

from model.artifact import Artifact
from model.sampler import Sampler
from training.runs import read_json


def test_dry_run_prints_every_key_and_trains_nothing(run: Run, corpus_file: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text("n_critic = 3\n[model]\nwidth = 24\n", encoding="utf-8")
    code, out, err = run("train", corpus_file, "--config", job, "--seed", "9", "--dry-run")
    assert code == 0, err
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert lines["n_critic"] == ["3", "file"]
    assert lines["model.width"] == ["24", "file"]
    assert lines["seed"] == ["9", "flag"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_prints_the_command_that_resumes(
    corpus_file: Path, tmp_path: Path, number: signal.Signals, run: Run
) -> None:
    training = process("train", corpus_file, "--run", "r", "--max-seconds", "600", *SMALL, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "r" / "log.jsonl").exists() or not (tmp_path / "r" / "log.jsonl").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline
        assert training.poll() is None, training.communicate()[1]
        time.sleep(0.05)
    training.send_signal(number)
    _, err = training.communicate(timeout=120)
    assert training.returncode == 128 + number
    command = err.splitlines()[-1].rpartition("charwgan ")[2]
    reached = max(int(path.stem.split("-")[1]) for path in (tmp_path / "r" / "checkpoints").glob("*.pt"))
    code, out, err = run(*command.split(), "--max-rounds", str(reached + 3))
    assert (code, f"{reached + 3} rounds" in out) == (0, True), err


def test_another_configuration_is_refused_with_its_differences_unless_told(run: Run, corpus_file: Path) -> None:
    run("train", corpus_file, "--run", "r", "--max-rounds", "3", *SMALL)
    again = ("train", "--run", "r", "--resume", "--max-rounds", "5")
    code, _, err = run(*again, "--set", "lr_critic=0.5")
    assert code == 1
    assert "lr_critic: " in err
    assert "0.5" in err
    assert "--allow-changes" in err
    assert run(*again, "--set", "lr_critic=0.005", "--allow-changes")[0] == 0
    code, _, err = run("train", corpus_file, "--run", "r", "--max-rounds", "5", *SMALL)
    assert (code, "--resume" in err) == (2, True)
    code, _, err = run(*again, "--preset", "tiny")
    assert (code, "model.depth: 1 -> 2" in err) == (1, True), err


def test_a_start_that_fails_leaves_no_folder_behind(run: Run, tmp_path: Path) -> None:
    assert run("train", "missing.txt", "--run", "r")[0] == 2
    assert not (tmp_path / "r").exists()
    (tmp_path / "mine").mkdir()
    assert run("train", "missing.txt", "--run", "mine")[0] == 2
    assert (tmp_path / "mine").is_dir()


def test_a_column_is_named_by_its_number(run: Run, tmp_path: Path) -> None:
    (tmp_path / "years.csv").write_text("2024,word\n" + "".join(f"{i},anna\n" for i in range(20)), encoding="utf-8")
    for column, symbols in (("2024", 12), ("2", 4)):
        code, out, err = run("train", "years.csv", "--set", f"data.column={column}", "--dry-run")
        assert (code, f"over {symbols} symbols" in out) == (0, True), (out, err)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_a_good_checkpoint(
    run: Run, corpus_file: Path, tmp_path: Path
) -> None:
    run("train", corpus_file, "--run", "r", "--max-rounds", "3", *SMALL)
    explode = ("--allow-changes", "--set", "lr_critic=1", "--set", "lr_generator=1", "--set", "penalty=1e38")
    code, _, err = run("train", "--run", "r", "--resume", "--max-rounds", "2000", *explode)
    assert (code, "last good checkpoint" in err) == (1, True), err
    kept = sorted(path.name for path in (tmp_path / "r" / "checkpoints").iterdir())
    assert kept == ["round-0000000003.pt"]


def test_batch_skips_resumes_and_goes_on_after_a_failure(run: Run, corpus_file: Path, tmp_path: Path) -> None:
    common = 'preset = "tiny"\nthreads = 1\nmax_rounds = 4\nbatch_size = 16\n[model]\nwidth = 8\ndepth = 1\n[data]\n'
    (tmp_path / "good.toml").write_text(common + f'sources = ["{corpus_file}"]\n', encoding="utf-8")
    (tmp_path / "bad.toml").write_text(common + 'sources = ["missing.txt"]\n', encoding="utf-8")
    (tmp_path / "other.toml").write_text("seed = 1\n" + common + f'sources = ["{corpus_file}"]\n', encoding="utf-8")
    code, out, err = run("batch", "good.toml", "bad.toml", "other.toml", "--json")
    assert code == 1
    results = {result["job"]: result for result in json.loads(out)}
    assert [results[name]["state"] for name in ("good", "bad", "other")] == ["trained", "failed", "trained"], err
    assert "missing.txt" in results["bad"]["detail"]
    for name in ("good", "other"):
        model = Artifact.load(tmp_path / "models" / name)
        assert len(Sampler(model).texts(Sampler(model).latents(0, 0, 3))) == 3
    code, out, _ = run("batch", "good.toml", "other.toml", "--json")
    assert (code, [result["state"] for result in json.loads(out)]) == (0, ["skipped", "skipped"])

    (tmp_path / "good.toml").write_text(
        common.replace("= 4", "= 6") + f'sources = ["{corpus_file}"]\n', encoding="utf-8"
    )
    code, out, _ = run("batch", "good.toml")
    assert (code, "resumed" in out) == (0, True)
    assert read_json(tmp_path / "runs" / "good" / "result.json")["round"] == 6


def test_images_and_points_are_played_by_the_same_verb(run: Run, tmp_path: Path) -> None:
    small = ("--max-rounds", "3", "--set", "model.width=8", "--set", "batch_size=16", "--device", "cpu")
    assert run("train", "builtin:digits", "--variant", "dcgan", *small)[0] == 0
    assert run("train", "builtin:ring", "--update", "consensus", *small)[0] == 2
    assert run("train", "builtin:ring", "--set", "update=consensus", *small)[0] == 0
    for name in ("digits-dcgan", "ring"):
        assert (tmp_path / "runs" / name / "samples" / "00000003.png").read_bytes().startswith(b"\x89PNG")
    assert run("export", "runs/ring", "--out", "model")[0] == 0
    assert run("generate", "--model", "model", "-n", "4", "--out", "four.csv")[0] == 0
    assert len((tmp_path / "four.csv").read_text().splitlines()) == 5
    code, _, err = run("train", "builtin:ring", "--variant", "dcgan")
    assert (code, "dcgan plays image" in err) == (2, True)
