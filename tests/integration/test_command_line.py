"""The command line as a person meets it: results on standard output, one line for what went wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import charwgan
from model.artifact import Artifact
from model.sampler import Sampler
from training.runs import read_json

ROOT = Path(charwgan.__file__).parent
SMALL = [
    "--device=cpu",
    "--set=threads=1",
    "--set=model.width=8",
    "--set=model.depth=1",
    "--set=model.latent=8",
    "--set=batch_size=16",
]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a verb in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARWGAN_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["charwgan", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            charwgan.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


def process(*arguments: str | Path, cwd: Path, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CHARWGAN_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "charwgan", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=pipe, stderr=pipe, **options)  # type: ignore[call-overload,no-any-return]


def test_help_answers_without_importing_anything_heavy() -> None:
    heavy = "torch, numpy, onnxruntime, pydantic, fastapi, rich"
    code = f"import sys, charwgan; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", sorted(charwgan.cli.commands))
def test_every_verb_explains_itself(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert out.startswith(f"Usage: charwgan {verb}")
    assert charwgan.cli.commands[verb].help


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--nonsense"], "--nonsense"),
        (["train", "x.txt", "--preset", "huge"], "--preset"),
        (["train", "x.txt", "--set", "width"], "--set"),
        (["train", "x.txt", "--set", "model.widht=3"], "did you mean 'model.width'"),
        (["train", "x.txt", "--set", "n_critic=0"], "n_critic"),
        (["train", "x.txt", "--variant", "wgan-pg"], "wgan-gp"),
        (["train"], "builtin:names"),
        (["train", "--resume"], "--run"),
        (["generate"], "--model"),
        (["generate", "--model", "m", "-n", "0"], "-n"),
        (["generate", "--model", "m", "--shard", "0/2"], "--seed"),
        (["generate", "--model", "m", "--seed", "1", "--shard", "2/2"], "from 0 to K - 1"),
        (["generate", "--model", "m", "--out", "names.xml"], ".parquet"),
        (["serve", "--model", "m", "--port", "70000"], "--port"),
        (["train", "missing.txt"], "there is no file missing.txt"),
        (["train", "missing*.txt"], "no file matches"),
        (["train", ""], "empty name"),
        (["train", "."], "is a directory"),
        (["train", "builtin:foo"], "builtin:names"),
        (["train", "builtin:names?locale=xx"], "no names for the locale 'xx'"),
        (["train", "builtin:names?lang=de"], "unknown option 'lang'"),
        (["train", "builtin:names", "--set", "data.column=3"], "no column '3'"),
        (["batch", "a.toml", "./a.toml"], "job files must have different names"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line_that_names_the_option(run: Run, arguments: list[str], named: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err


@pytest.mark.parametrize("verb", ["evaluate", "inspect"])
def test_a_folder_that_is_no_model_is_one_line(run: Run, tmp_path: Path, verb: str) -> None:
    code, out, err = run(verb, tmp_path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "Traceback" not in err


def test_the_main_job_from_strings_to_new_strings(run: Run, corpus_file: Path, tmp_path: Path) -> None:
    code, out, err = run("train", corpus_file, "--max-rounds", "12", *SMALL)
    assert code == 0, err
    assert "real (held out)" in out
    assert "Markov 3" in out
    code, table, _ = run("evaluate", "runs/names", "--json", "-n", "100")
    assert [row["name"] for row in json.loads(table)["rows"]] == [
        "real",
        *(f"Markov {n}" for n in range(2, 6)),
        "names",
    ]

    code, out, err = run("export", "runs/names", "--out", "models/names")
    assert code == 0, err
    digest = Artifact.load(tmp_path / "models" / "names").digest
    assert digest in out
    code, strings, _ = run("generate", "--model", "models/names", "-n", "20", "--seed", "7")
    assert (code, len(strings.splitlines())) == (0, 20)
    (tmp_path / "lines.txt").write_text(strings, encoding="utf-8")
    code, scores, _ = run("score", "--model", "models/names", "lines.txt")
    assert [line.split("\t")[1] for line in scores.splitlines()] == strings.splitlines()
    code, card, _ = run("inspect", "models/names")
    assert digest in card
    code, out, err = run("evaluate", "models/names", "--data", corpus_file, "-n", "200")
    assert (code, err) == (0, "")
    code, _, err = run("export", "runs/names", "--out", "models/names")
    assert (code, "--replace" in err) == (1, True)


def test_a_served_string_is_the_one_that_the_run_showed(run: Run, corpus_file: Path, tmp_path: Path) -> None:
    run("train", corpus_file, "--max-rounds", "5", *SMALL)
    run("export", "runs/names", "--out", "model")
    _, strings, _ = run("generate", "--model", "model", "-n", "50", "--seed", "0")
    shown = (tmp_path / "runs" / "names" / "samples" / "00000005.txt").read_text(encoding="utf-8")
    assert strings == "".join(shown.splitlines(keepends=True)[:50])


def test_shards_together_are_the_unsharded_strings(run: Run, tiny_model: Path) -> None:
    _, whole, _ = run("generate", "--model", tiny_model, "-n", "1001", "--seed", "3")
    parts = [
        run("generate", "--model", tiny_model, "-n", "1001", "--seed", "3", "--shard", f"{i}/4")[1] for i in range(4)
    ]
    assert "".join(parts) == whole
    _, late, _ = run("generate", "--model", tiny_model, "-n", "1", "--seed", "3", "--first", "1000")
    assert late == whole.splitlines(keepends=True)[1000]


def test_a_drawn_seed_is_told_and_repeats_the_strings(run: Run, tiny_model: Path) -> None:
    _, drawn, err = run("generate", "--model", tiny_model, "-n", "5")
    seed = err.removeprefix("seed ").strip()
    assert run("generate", "--model", tiny_model, "-n", "5", "--seed", seed)[1] == drawn


def test_out_writes_what_standard_output_shows(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    arguments = ("generate", "--model", tiny_model, "-n", "300", "--seed", "1")
    strings = run(*arguments)[1].splitlines()
    for suffix in ("txt", "csv", "jsonl", "parquet"):
        assert run(*arguments, "--out", f"names.{suffix}")[:2] == (0, "")
    assert (tmp_path / "names.txt").read_text(encoding="utf-8").splitlines() == strings
    with (tmp_path / "names.csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == strings
    rows = [json.loads(line) for line in (tmp_path / "names.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [{"index": i, "text": text} for i, text in enumerate(strings)]
    assert sorted(path.name for path in tmp_path.glob("*names*")) == [
        "names.csv",
        "names.jsonl",
        "names.parquet",
        "names.txt",
    ]


def test_score_takes_standard_input(tiny_model: Path, tmp_path: Path) -> None:
    texts = "anna\nbo\r\n\nx" * 1
    scoring = process("score", "--model", tiny_model, "--json", cwd=tmp_path, stdin=subprocess.PIPE)
    out, err = scoring.communicate(texts)
    assert (scoring.returncode, err) == (0, "")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["anna", "bo", "", "x"]


def test_a_reader_that_goes_away_is_no_error(tiny_model: Path, tmp_path: Path) -> None:
    with process("generate", "--model", tiny_model, "-n", "200000", "--seed", "1", cwd=tmp_path) as generating:
        assert generating.stdout is not None
        assert generating.stderr is not None
        assert generating.stdout.readline()
        generating.stdout.close()
        assert generating.stderr.read() == ""
        assert generating.wait() == 0


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
    code, _, err = run("export", "runs/ring", "--out", "model")
    assert (code, "only text" in err) == (1, True)
    code, _, err = run("train", "builtin:ring", "--variant", "dcgan")
    assert (code, "dcgan plays image" in err) == (2, True)


def test_doctor_and_variants_and_completion_answer(run: Run) -> None:
    code, out, _ = run("doctor")
    assert (code, "onnxruntime" in out) == (0, True)
    assert "Gulrajani et al. 2017" in run("variants")[1]
    assert "_CHARWGAN_COMPLETE" in run("completion", "bash")[1]
