"""Strings of a generator in the table of scores, with the seed that they were drawn by; and as a critic sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.text import labelled
from training.data.corpus import Corpus
from training.evaluation.copies import subsample
from training.evaluation.ngrams import IdMatrix
from training.evaluation.table import ScoreTable, score_table
from training.layers import alone
from training.observer import SLICE

Positions = NDArray[np.intp] | NDArray[np.uint16]


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


def score_quantiles(scores: NDArray[np.float64]) -> list[float]:
    """Scores (N,) at 0, 1, ..., 100 %: where a further score stands among them."""
    quantiles: list[float] = np.quantile(scores, np.linspace(0, 1, 101)).tolist()
    return quantiles


@torch.no_grad()
def critic_scores(
    critic: nn.Module, ids: IdMatrix, positions: Positions | None = None, *, symbols: int, labels: int = 0
) -> NDArray[np.float64]:
    """A critic's scores of strings, each by itself, (N,).

    ids: (N, T), of V = ``symbols`` characters.  positions: (N,), the label of each that a conditional critic takes it
    to be of, one of K = ``labels``; a critic that takes none passes it over.
    """
    single, device = alone(critic, symbols), next(critic.parameters()).device
    characters, marks = torch.eye(symbols, device=device), torch.eye(labels, device=device)

    def scores(rows: slice) -> Tensor:
        text = characters[torch.from_numpy(ids[rows].astype(np.int64)).to(device)]
        if positions is not None and single.labels:
            text = labelled(text, marks[torch.from_numpy(positions[rows].astype(np.int64)).to(device)])
        return single.scores(text)

    found = torch.cat([scores(slice(start, start + SLICE)) for start in range(0, len(ids), SLICE)])
    scored: NDArray[np.float64] = found.double().cpu().numpy()
    return scored


def membership(corpus: Corpus, scores: Callable[[IdMatrix, Positions | None], NDArray[Any]], n: int) -> float:
    """How well scores tell n training strings from n held-out ones, at most: the area under the curve of such a guess.

    scores: of ids (N, T) and the labels that they are scored as.  It is the chance that of one of each the training
    string has the higher score, ties counting half: 0.5 where a critic has learned nothing of single strings by heart.
    Only the critic is asked; of the generator's memory the share copied speaks.  Yeom et al. 2018.
    """
    member, other = (
        scores(part[rows], None if marks is None else marks[rows])
        for part, marks in ((corpus.train, corpus.train_labels), (corpus.held_out, corpus.held_out_labels))
        for rows in (subsample(len(part), n, 0),)
    )
    return area(member, other)


def area(higher: NDArray[Any], lower: NDArray[Any]) -> float:
    """The share of pairs, of one score of each set, (M,) and (N,), in which the first is higher; ties count half."""
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, "left") + np.searchsorted(ordered, higher, "right")
    return float(below.mean() / 2 / len(ordered))
