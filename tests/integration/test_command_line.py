"""The command line as a person meets it: results on standard output, one line for what went wrong."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, SMALL, Run, process

import charwgan
from model.artifact import Artifact


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
        (["generate", "--caption", "red"], "--caption"),
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


def test_doctor_and_variants_and_completion_answer(run: Run) -> None:
    code, out, _ = run("doctor")
    assert (code, "onnxruntime" in out) == (0, True)
    assert "Gulrajani et al. 2017" in run("variants")[1]
    assert "_CHARWGAN_COMPLETE" in run("completion", "bash")[1]
