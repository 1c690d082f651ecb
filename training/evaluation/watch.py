"""The few scores that are cheap enough to take while training, and the alarm that notices a collapse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING, Alphabet
from training.evaluation.copies import Originals, subsample, unique_share
from training.evaluation.ngrams import IdMatrix, NgramProfile, checked, checked_shape

UNIQUE_BOUND = 0.5


class Watch:
    """Scores of samples against held-out text whose n-grams were counted once."""

    def __init__(
        self,
        train: IdMatrix,
        held_out: IdMatrix,
        alphabet: Alphabet,
        *,
        hashes: NDArray[np.uint64] | None = None,
        n: int = 1000,
        seed: int = 0,
    ) -> None:
        """train, held_out: ids (N, T).  n: samples scored at a time, fewer where train or held_out hold fewer.

        hashes: of train, as ``Corpus.train_hashes`` has them, and then only n rows of train are read; else they are
        made here, of all rows.
        Raises ValueError for an empty set, an id beyond V among the rows that are read, or n < 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        for ids, what in ((train, "the training set"), (held_out, "the held-out set")):
            checked_shape(ids, what)
        self.alphabet = alphabet
        self.n = min(n, len(train), len(held_out))
        drawn = train[subsample(len(train), self.n, (seed, 0))]
        self._train = checked(drawn, alphabet.size, "the training set")
        # Real text meets real text of its own size, as the samples do: the floor is a floor at this size only.
        reference = held_out[subsample(len(held_out), self.n, (seed, 1))]
        self._profile = NgramProfile(reference, alphabet.size, orders=(4,), forms=("padded",))
        self._originals = Originals.of(train, alphabet, hashes=hashes, limit=0)
        self._floors: dict[int, float | None] = {}
        self.real_unique = unique_share(self._train)
        self.real_empty = _empty_share(self._train)

    def scores(self, ids: IdMatrix) -> dict[str, float]:
        """Scores of the first n strings of ids (N, T), which need no order.

        js4: padded JS-4 to held-out text, in bits.  js4_floor: the same of as many training strings.  Both are left
        out where T < 4.  unique: share of distinct strings.  copied: share that are training strings.  empty: share
        of padding only.  mean_length: in characters.  Raises ValueError if ids is empty or does not fit.
        """
        ids = checked(ids, self.alphabet.size, "the samples")[: self.n]
        js4 = self._profile.divergences(ids)["js4_padded"]
        floor = self._floor(len(ids))
        found = {} if js4 is None or floor is None else {"js4": js4, "js4_floor": floor}
        return found | {
            "unique": unique_share(ids),
            "copied": self._originals.copied(ids),
            "mean_length": float((ids != PADDING).sum(axis=1).mean()),
            "empty": _empty_share(ids),
        }

    def alarm(self, scores: Mapping[str, float]) -> str | None:
        """One sentence if the scores of n samples say that the generator collapsed, else None."""
        bound = (1 + self.real_empty) / 2
        if scores["empty"] > bound:
            return (
                f"collapse: {scores['empty']:.1%} of the samples are empty, above the bound of {bound:.1%}"
                f" (real text: {self.real_empty:.1%})"
            )
        bound = UNIQUE_BOUND * self.real_unique
        if scores["unique"] < bound:
            return (
                f"collapse: {scores['unique']:.1%} of the samples are distinct, below the bound of {bound:.1%}"
                f" (real text: {self.real_unique:.1%})"
            )
        return None

    def _floor(self, size: int) -> float | None:
        if size not in self._floors:
            self._floors[size] = self._profile.divergences(self._train[:size])["js4_padded"]
        return self._floors[size]


def _empty_share(ids: IdMatrix) -> float:
    return float(np.mean(ids[:, 0] == PADDING))
