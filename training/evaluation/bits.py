"""Bits per character under a smoothed n-gram model, in both directions.

Forward: the model learns the training text and scores the samples; garbage is expensive.  Reverse: it learns the
samples and scores held-out text (Zhao et al. 2018, "reverse perplexity"); whatever the samples leave out is
expensive.  Forward alone is fooled by a generator that repeats one good string, reverse alone by one that copies.

The model is interpolated Witten-Bell (Witten and Bell 1991, method C; Chen and Goodman 1999, section 2.4).  With
c(h, w) the count of character w after context h, c(h) its sum over w, and t(h) the number of different characters
seen after h:

    p(w | h) = (c(h, w) + t(h) p(w | h')) / (c(h) + t(h))

where h' is h without its oldest character; below the empty context stands the uniform 1 / V.  A context never seen
passes on p(w | h').  The sum over w is 1 by induction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING
from training.evaluation.ngrams import IdMatrix, NgramIndex, Ranks, checked

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class CharacterModel:
    """Interpolated Witten-Bell model; its V outcomes are the characters, the unknown one, and padding for the end.

    order: characters of context.  counts[k], totals[k], kinds[k]: c(h, w), c(h) and t(h) for contexts of length k.
    """

    size: int
    order: int
    index: NgramIndex
    counts: tuple[Ranks, ...]
    totals: tuple[Ranks, ...]
    kinds: tuple[Ranks, ...]

    @classmethod
    def fit(cls, ids: IdMatrix, size: int, order: int = 4) -> CharacterModel:
        """Learn ids (N, T) over V = size symbols.  Raises ValueError for an empty set, an id beyond V, order < 0."""
        if order < 0:
            raise ValueError(f"order must be at least 0, got {order}")
        ids = checked(ids, size, "the text to learn")
        index, ranks = NgramIndex.of(_started(ids, size, order), size + 1, order + 1)
        scored = _scored(ids)
        counts, totals, kinds = [], [], []
        for k in range(order + 1):
            codes = index.codes[k]
            origins = codes // (size + 1)
            contexts = index.codes[k - 1].size if k else 1
            count = np.bincount(_ending(ranks[k + 1], order - k, ids.shape[1])[scored], minlength=codes.size)
            counts.append(count)
            totals.append(np.bincount(origins, count, contexts).astype(np.int64))
            kinds.append(np.bincount(origins[count > 0], minlength=contexts))
        return cls(size, order, index, tuple(counts), tuple(totals), tuple(kinds))

    def probabilities(self, ids: IdMatrix) -> Probabilities:
        """(N, T): the probability of each symbol given those before it, up to and including each string's end."""
        length = ids.shape[1]
        ranks = self.index.ranks(_started(ids, self.size, self.order))
        p = np.full(ids.shape, 1 / self.size)
        for k in range(self.order + 1):
            context = _ending(ranks[k], self.order - k, length)
            whole = _ending(ranks[k + 1], self.order - k, length)
            count = np.where(whole >= 0, self.counts[k][whole], 0)
            total = np.where(context >= 0, self.totals[k][context], 0)
            kinds = self.kinds[k][context]
            p = np.where(total > 0, (count + kinds * p) / np.maximum(total + kinds, 1), p)
        return p

    def bits_per_character(self, ids: IdMatrix) -> float:
        """Mean of -log2 p over the characters and ends of ids (N, T).  A string of full length T has no end to score.

        Raises ValueError for an empty set or an id beyond V.
        """
        ids = checked(ids, self.size, "the text to score")
        return float(-np.log2(self.probabilities(ids)[_scored(ids)]).mean())


def bits_per_character(text: IdMatrix, learned: IdMatrix, size: int, order: int = 4) -> float:
    """Bits per character of text (N, T) under a model of learned (M, T)."""
    return CharacterModel.fit(learned, size, order).bits_per_character(text)


def _started(ids: IdMatrix, size: int, order: int) -> IdMatrix:
    """(N, order + T): each string after `order` start symbols, which are V, one more than any character."""
    start = np.full((ids.shape[0], order), size, dtype=np.int64)
    return np.concatenate([start, ids], axis=1)


def _ending(ranks: Ranks, skipped: int, length: int) -> Ranks:
    """Of the windows over a started matrix, the T of them that end at (or, for a context, before) each character."""
    return ranks[:, skipped : skipped + length]


def _scored(ids: IdMatrix) -> NDArray[np.bool_]:
    """(N, T): true for the characters and the first padding of each string."""
    scored = np.ones(ids.shape, dtype=np.bool_)
    scored[:, 1:] = ids[:, :-1] != PADDING
    return scored
