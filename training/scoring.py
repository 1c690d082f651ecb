"""Strings of a generator in the table of scores, with the seed that they were drawn by; and as a critic sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.text import labelled
from training.data.corpus import Corpus
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


@torch.no_grad()
def score_quantiles(
    critic: nn.Module, ids: IdMatrix, positions: Positions | None = None, *, symbols: int, labels: int = 0
) -> list[float]:
    """A critic's scores of strings at 0, 1, ..., 100 %, each by itself: where a further score stands among them.

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
    quantiles: list[float] = np.quantile(found.double().cpu().numpy(), np.linspace(0, 1, 101)).tolist()
    return quantiles
