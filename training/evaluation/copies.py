"""Is it copying my data?  Distinct strings, exact copies of training strings, and the nearest training string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from model.alphabet import Alphabet
from training.evaluation.ngrams import IdMatrix, checked

NEAREST_SAMPLES = 500
NEAREST_TRAINING = 50_000
BLOCK = 10_000

Rows = NDArray[np.bytes_]


@dataclass(frozen=True)
class Pair:
    """A sample and the training string most like it; similarity in [0, 1], 1 for equal strings."""

    sample: str
    training: str
    similarity: float


@dataclass(frozen=True)
class Originals:
    """The distinct training strings, ready to be looked up.

    rows: (M,) ascending, one fixed-width byte string for each.  texts: those that nearest copies are sought among.
    """

    alphabet: Alphabet
    rows: Rows
    texts: list[str]

    @classmethod
    def of(cls, train: IdMatrix, alphabet: Alphabet, *, limit: int = NEAREST_TRAINING, seed: int = 0) -> Originals:
        """Training strings (N, T); nearest copies are sought among at most `limit` of the distinct ones, by seed.

        Raises ValueError for an empty set or an id beyond V.
        """
        rows, first = np.unique(as_rows(checked(train, alphabet.size, "the training set")), return_index=True)
        if first.size > limit:
            first = np.sort(np.random.default_rng(seed).choice(first, limit, replace=False))
        return cls(alphabet, rows, alphabet.decode(train[first]) if limit else [])

    def copied(self, ids: IdMatrix) -> float:
        """Share of the strings (N, T) that are training strings, character for character."""
        rows = as_rows(checked(ids, self.alphabet.size, "the samples"))
        place = np.minimum(np.searchsorted(self.rows, rows), self.rows.size - 1)
        return float(np.mean(self.rows[place] == rows))

    def nearest(self, ids: IdMatrix, *, limit: int = NEAREST_SAMPLES, seed: int = 0) -> list[Pair]:
        """The most similar training string of at most `limit` of the strings (N, T), drawn by seed.

        Similarity is 1 - Levenshtein distance / length of the longer string.
        """
        ids = checked(ids, self.alphabet.size, "the samples")
        texts = self.alphabet.decode(ids[subsample(len(ids), limit, seed)])
        best = np.full(len(texts), -1.0)
        place = np.zeros(len(texts), dtype=np.int64)
        # In blocks of training strings, so that the matrix of similarities stays small.
        for start in range(0, len(self.texts), BLOCK):
            block = _similarities(texts, self.texts[start : start + BLOCK])
            column = block.argmax(axis=1)
            found = block[np.arange(len(texts)), column]
            place = np.where(found > best, start + column, place)
            best = np.maximum(found, best)
        return [Pair(text, self.texts[i], float(s)) for text, i, s in zip(texts, place, best, strict=True)]


def unique_share(ids: IdMatrix) -> float:
    """Number of distinct strings over the number of strings (N, T)."""
    return len(np.unique(as_rows(ids))) / len(ids)


def subsample(count: int, limit: int, seed: int | tuple[int, ...]) -> NDArray[np.int64]:
    """min(count, limit) of the rows 0 to count - 1 in a random order, by seed."""
    return np.random.default_rng(seed).permutation(count)[:limit]


def as_rows(ids: IdMatrix) -> Rows:
    """(N,) byte strings, equal exactly where the rows of ids (N, T) are.

    Fixed width, so numpy's disregard of trailing zero bytes cannot make two different rows equal.
    """
    ids = np.ascontiguousarray(ids)
    return ids.view(f"S{ids.shape[1] * ids.dtype.itemsize}")[:, 0]


def _similarities(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float32]:
    return process.cdist(texts, others, scorer=Levenshtein.normalized_similarity, workers=1, dtype=np.float32)
