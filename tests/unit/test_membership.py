"""Whether scores tell what was learned from what was held out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from charwgan import cli
from training.configuration import DataConfig
from training.data import open_dataset
from training.data.corpus import Corpus
from training.evaluation.ngrams import IdMatrix
from training.evaluation.table import ScoreTable
from training.runs import read_json
from training.scoring import Positions, area, membership, score_samples


@pytest.fixture
def corpus(corpus_file: Path) -> Corpus:
    found = open_dataset(DataConfig(sources=(str(corpus_file),), duplicates="drop", max_length=8))
    assert isinstance(found, Corpus)
    return found


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [([2, 3], [0, 1], 1.0), ([0, 1], [2, 3], 0.0), ([1, 1], [1], 0.5), ([0, 2], [1], 0.5), ([3, 1, 1], [1, 2], 0.5)],
)
def test_the_area_is_the_share_of_pairs_that_are_in_order(higher: list[int], lower: list[int], expected: float) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in higher for b in lower]
    assert area(np.array(higher), np.array(lower)) == pytest.approx(expected) == np.mean(pairs)


def test_scores_of_what_was_learned_by_heart_tell_everything_and_others_nothing(corpus: Corpus) -> None:
    known = {row.tobytes() for row in corpus.train}

    def by_heart(ids: IdMatrix, _: Positions | None) -> NDArray[np.float64]:
        return np.array([row.tobytes() in known for row in ids], dtype=np.float64)

    def by_chance(ids: IdMatrix, _: Positions | None) -> NDArray[np.float64]:
        return np.random.default_rng(len(ids)).random(len(ids))

    assert membership(corpus, by_heart, 500) == 1.0
    assert membership(corpus, by_chance, 500) == pytest.approx(0.5, abs=0.1)
    assert membership(corpus, lambda ids, _: np.zeros(len(ids)), 500) == 0.5


def test_the_table_says_it_and_reads_tables_that_do_not(corpus: Corpus) -> None:
    table = score_samples(corpus, np.asarray(corpus.held_out), n=100, seed=0)
    assert "membership" not in table.plain(100)
    told = replace(table, membership=0.5312)
    assert "with an AUC of 0.531 (0.5: not at all, 1: always)" in " ".join(told.plain(100).split())
    again = ScoreTable.from_dict(json.loads(json.dumps(told.to_dict())))
    assert again.membership == 0.5312
    older = {key: value for key, value in table.to_dict().items() if key != "membership"}
    assert ScoreTable.from_dict(json.loads(json.dumps(older))).membership is None


def test_a_run_its_model_and_evaluate_say_the_same(corpus_file: Path, tmp_path: Path) -> None:
    def call(*words: str | Path) -> str:
        done = CliRunner().invoke(cli, [*map(str, words)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    run, model = tmp_path / "run", tmp_path / "model"
    call("train", corpus_file, "--run", run, "--preset", "tiny", "--max-rounds", "2", "--set", "model.width=8")
    call("export", run, "--out", model)
    expected = read_json(run / "metrics.json")["membership"]
    assert 0 <= expected <= 1
    for subject in (run, model):
        assert json.loads(call("evaluate", subject, "--json"))["membership"] == pytest.approx(expected, abs=1e-4)
    assert "AUC of" in " ".join((model / "README.md").read_text(encoding="utf-8").split())
