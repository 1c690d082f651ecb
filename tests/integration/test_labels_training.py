"""A conditional model by the command line: from a table with labels to strings of a label over HTTP."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from command import Run
from service_process import process

import charwgan
from model.artifact import Artifact
from model.engines import INT8_GRAPH, Int8Sampler
from model.sampler import Sampler

LETTERS = {"back": "wxyz", "front": "abcd"}
SHARES = {"back": 1 / 3, "front": 2 / 3}
SMALL = ("--preset=tiny", "--device=cpu", "--set=model.width=16", "--set=model.depth=1", "--set=model.latent=16")
TRAINED = (*SMALL, "--set=data.label=kind", "--set=ema=0.9", "--max-rounds=500")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 words of two kinds, a third of "back" and the others of "front", without a letter in common."""
    draw = random.Random(0)
    kinds = ["front" if i % 3 else "back" for i in range(3000)]
    rows = [f"{''.join(draw.choices(LETTERS[kind], k=draw.randint(3, 6)))},{kind}\n" for kind in kinds]
    path = tmp_path_factory.mktemp("table") / "words.csv"
    path.write_text("word,kind\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run r and the model m of the words."""
    folder = tmp_path_factory.mktemp("conditional")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CHARWGAN_CACHE", str(folder / "cache"))
        for verb in (
            ("train", words, "--run", folder / "r", *TRAINED),
            ("export", folder / "r", "--out", folder / "m", "--int8", "--int8-samples", "300"),
        ):
            patched.setattr(sys, "argv", ["charwgan", *map(str, verb)])
            with pytest.raises(SystemExit) as stopped:
                charwgan.main()
            assert not stopped.value.code
    return folder


@pytest.fixture
def sampler(folder: Path) -> Sampler:
    return Sampler(Artifact.load(folder / "m"), 1)


def share_of(label: str, texts: list[str]) -> float:
    """How many of the characters of some strings are letters of a label."""
    joined = "".join(texts)
    return sum(character in LETTERS[label] for character in joined) / max(1, len(joined))


@pytest.mark.parametrize("label", LETTERS)
def test_strings_of_a_label_are_of_its_letters(run: Run, folder: Path, label: str) -> None:
    code, out, err = run("generate", "--model", folder / "m", "-n", "300", "--seed", "1", "--label", label)
    assert (code, share_of(label, out.splitlines()) > 0.85) == (0, True), (out, err)


def test_strings_of_a_label_are_the_same_over_http(run: Run, folder: Path) -> None:
    common = ("generate", "-n", "50", "--seed", "1", "--label", "back")
    with process("--model", str(folder / "m")) as service:
        there = run(*common, "--url", service.url)
    assert there[0] == 0
    assert there == run(*common, "--model", folder / "m")


def test_the_samples_of_the_run_are_the_strings_of_the_model(run: Run, folder: Path) -> None:
    _, out, _ = run("generate", "--model", folder / "m", "-n", "100", "--seed", "0")
    assert out == (folder / "r" / "samples" / "00000500.txt").read_text(encoding="utf-8")


def test_a_run_and_its_model_have_the_same_scores(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARWGAN_CACHE", str(folder / "cache"))
    found = [run("evaluate", folder / name, "-n", "100", "--json") for name in ("r", "m")]
    assert [code for code, _, _ in found] == [0, 0], found
    of_run, of_model = (json.loads(out)["rows"][-1] for _, out, _ in found)
    assert {**of_run, "name": "m"} == of_model


def test_the_model_says_its_labels_with_their_shares_of_the_training_strings(folder: Path) -> None:
    artifact = Artifact.load(folder / "m")
    assert artifact.labels.names == tuple(LETTERS)
    assert artifact.labels.shares == pytest.approx(list(SHARES.values()), abs=0.01)
    assert "labels" not in artifact.config["data"]
    card = (folder / "m" / "README.md").read_text(encoding="utf-8")
    back, front = artifact.labels.shares
    assert f'| labels | `"front"` {front:.1%}, `"back"` {back:.1%} |\n' in card
    assert "`latent` (N, 16 + 2)" in card


def test_the_quantiles_are_of_strings_under_their_own_labels(folder: Path, sampler: Sampler) -> None:
    metrics = json.loads((folder / "m" / "metrics.json").read_text(encoding="utf-8"))
    rows = sampler.latents(0, 0, 3000)
    scores = sampler.scores(sampler.texts(rows), sampler.artifact.labels.names_of(rows))
    quantiles = np.quantile(scores, np.linspace(0, 1, 101))
    assert metrics["critic_scores"]["generated"] == pytest.approx(quantiles.tolist(), abs=1e-3)


@pytest.mark.parametrize("label", LETTERS)
def test_as_strings_of_a_label_those_that_are_score_higher(sampler: Sampler, words: Path, label: str) -> None:
    rows = [line.split(",") for line in words.read_text(encoding="utf-8").splitlines()[1:]]
    scores = sampler.scores([text for text, _ in rows], [label] * len(rows))
    own = np.array([kind == label for _, kind in rows])
    # Each of the ones against each of the others.
    assert (scores[own][:, np.newaxis] > scores[~own]).mean() > 0.9


def test_the_graph_in_integers_obeys_labels_and_is_measured_on_them(folder: Path, sampler: Sampler) -> None:
    artifact = sampler.artifact
    assert INT8_GRAPH in artifact.digests
    in_integers, rows = Int8Sampler(artifact, 1), sampler.latents(0, 0, 300)
    pairs = zip(sampler.texts(rows), in_integers.texts(rows), strict=True)
    assert artifact.config["int8"]["changed"] == np.mean([a != b for a, b in pairs])
    for label in LETTERS:
        assert share_of(label, in_integers.texts(in_integers.latents(1, 0, 300, label))) > 0.85


def test_training_says_that_labels_are_learned_and_what_cannot_be_one(run: Run, words: Path, tmp_path: Path) -> None:
    code, out, _ = run("train", words, *SMALL, "--set", "data.label=kind", "--dry-run")
    assert (code, "Every string is learned under its label, of which there are 2." in out) == (0, True)
    (tmp_path / "some.csv").write_text("word,kind\nab,x\ncd,\nef,x\n", encoding="utf-8")
    code, _, err = run("train", "some.csv", *SMALL, "--set", "data.label=kind", "--run", "r")
    assert code != 0
    assert "data.label: every label must be a string of 1 to 255 characters" in err
    assert "leave data.label out" in err
    assert not (tmp_path / "r" / "config.json").exists()
