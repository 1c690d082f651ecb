"""Strings of a generator in the table of scores, with the seed that they were drawn by."""

from __future__ import annotations

from dataclasses import replace

from training.data.corpus import Corpus
from training.evaluation.ngrams import IdMatrix
from training.evaluation.table import ScoreTable, score_table


def score_samples(corpus: Corpus, samples: IdMatrix, *, n: int, seed: int, name: str = "model") -> ScoreTable:
    """Score strings 0 .. n - 1 of a seed, ids (N, T), against a corpus, under a name.

    The seed is that of the samples alone: the table draws its own rows by its own, so that two tables of different
    samples have the same real text and the same chains beside them.  Raises ValueError as ``score_table`` does.
    """
    table = score_table(
        train=corpus.train,
        held_out=corpus.held_out,
        samples=samples,
        alphabet=corpus.alphabet,
        hashes=corpus.train_hashes,
        n=n,
        name=name,
    )
    rows = tuple(replace(row, seed=(seed,)) if row.name == name else row for row in table.rows)
    return replace(table, rows=rows)
