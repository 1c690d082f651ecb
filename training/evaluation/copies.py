"""Is it copying my data?  Distinct strings, exact copies of training strings, and the nearest training string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from model.alphabet import Alphabet, Ids
from training.data.repeats import hash_rows, sorted_hashes
from training.evaluation.ngrams import IdMatrix, checked, checked_shape

NEAREST_SAMPLES = 500
NEAREST_TRAINING = 50_000
BLOCK = 10_000
# Rows that an order is drawn of; beyond it only as many are drawn as are needed.
SHUFFLED = 1 << 20

Rows = NDArray[np.bytes_]


@dataclass(frozen=True)
class Pair:
    """A sample and the training string most like it; similarity in [0, 1], 1 for equal strings."""

    sample: str
    training: str
    similarity: float


@dataclass(frozen=True)
class Originals:
    """The training strings, ready to be looked up.

    hashes: (N,) ascending, one of 64 bits for each; a new string is taken for one of them with probability N / 2^64.
    texts: those that nearest copies are sought among, all different.
    """

    alphabet: Alphabet
    hashes: NDArray[np.uint64]
    texts: list[str]

    @classmethod
    def of(
        cls,
        train: IdMatrix,
        alphabet: Alphabet,
        *,
        hashes: NDArray[np.uint64] | None = None,
        limit: int = NEAREST_TRAINING,
        seed: int = 0,
    ) -> Originals:
        """Training strings (N, T); nearest copies are sought among at most `limit` different ones, by seed.

        hashes: of train, as ``Corpus.train_hashes`` has them; made here if None.
        Raises ValueError for an empty set, or for an id beyond V among the strings that are looked at.
        """
        checked_shape(train, "the training set")
        if hashes is None:
            hashes = sorted_hashes(_as_stored(checked(train, alphabet.size, "the training set"), alphabet))
        return cls(alphabet, hashes, alphabet.decode(_distinct(train, alphabet, limit, seed)) if limit else [])

    def copied(self, ids: IdMatrix) -> float:
        """Share of the strings (N, T) that are training strings, character for character."""
        rows = hash_rows(_as_stored(checked(ids, self.alphabet.size, "the samples"), self.alphabet))
        place = np.minimum(np.searchsorted(self.hashes, rows), self.hashes.size - 1)
        return float(np.mean(self.hashes[place] == rows))

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
    random = np.random.default_rng(seed)
    if count <= max(SHUFFLED, limit):
        return random.permutation(count)[:limit]
    return random.choice(count, limit, replace=False)


def as_rows(ids: IdMatrix) -> Rows:
    """(N,) byte strings, equal exactly where the rows of ids (N, T) are.

    Fixed width, so numpy's disregard of trailing zero bytes cannot make two different rows equal.
    """
    ids = np.ascontiguousarray(ids)
    return ids.view(f"S{ids.shape[1] * ids.dtype.itemsize}")[:, 0]


def _as_stored(ids: IdMatrix, alphabet: Alphabet) -> Ids:
    """Ids (N, T) in the type that a corpus is stored in: a row's hash is of its bytes."""
    return cast(Ids, ids.astype(alphabet.dtype, copy=False))


def _distinct(train: IdMatrix, alphabet: Alphabet, limit: int, seed: int) -> IdMatrix:
    """At most `limit` different rows of train (N, T), by seed: of all, or where there are very many of some."""
    some = train if len(train) <= 4 * limit else train[np.sort(subsample(len(train), 2 * limit, seed))]
    some = checked(some, alphabet.size, "the training set")
    first = np.unique(as_rows(some), return_index=True)[1]
    if first.size > limit:
        first = np.sort(np.random.default_rng(seed).choice(first, limit, replace=False))
    return some[first]


def _similarities(texts: Sequence[str], others: Sequence[str]) -> NDArray[np.float32]:
    return process.cdist(texts, others, scorer=Levenshtein.normalized_similarity, workers=1, dtype=np.float32)
