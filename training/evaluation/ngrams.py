"""n-gram distributions of encoded strings, and the Jensen-Shannon divergence between two sets.

Two forms.  ``padded`` pools the n-grams of all positions of the (N, T) matrix, padding included, so that where
strings end counts (Gulrajani et al. 2017, ``language_helpers.py``).  ``bare`` pools only the windows without padding.

n-grams are numbered and not hashed: the number of an n-gram's first n - 1 symbols, times V, plus its last symbol,
is ranked anew at each order.  No number exceeds (windows x V), so V^n never overflows and nothing collides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING

ORDERS = (1, 2, 3, 4, 6)
FORMS = ("padded", "bare")

IdMatrix = NDArray[np.integer]
Ranks = NDArray[np.int64]


def checked(ids: IdMatrix, size: int, what: str) -> IdMatrix:
    """The strings (N, T) with everything after a string's first padding blanked, which is how they are decoded.

    size: V.  what: names the set in errors.
    Raises ValueError if the set is empty, is not a matrix or holds an id that is not below V.
    """
    checked_shape(ids, what)
    if not np.issubdtype(ids.dtype, np.integer) or int(ids.min()) < 0 or int(ids.max()) >= size:
        raise ValueError(f"{what} must hold ids from 0 to {size - 1}, got {ids.min()} to {ids.max()} ({ids.dtype})")
    return np.where(np.logical_or.accumulate(ids == PADDING, axis=1), ids.dtype.type(PADDING), ids)


def checked_shape(ids: IdMatrix, what: str) -> None:
    """Raises ValueError unless ids is a matrix (N, T) that holds something; nothing of it is read."""
    if ids.ndim != 2:
        raise ValueError(f"{what} must be ids of shape (N, T), got shape {ids.shape}")
    if ids.size == 0:
        raise ValueError(f"{what} must hold at least 1 string of length 1, got shape {ids.shape}")


@dataclass(frozen=True)
class NgramIndex:
    """The distinct n-grams of a set of strings, numbered from 0 within each order.

    size: V.  codes: for n = 1, 2, ...: ascending; an n-gram's code is (number of its first n - 1 symbols) * V + last.
    """

    size: int
    codes: tuple[Ranks, ...]

    @classmethod
    def of(cls, ids: IdMatrix, size: int, longest: int) -> tuple[NgramIndex, list[Ranks]]:
        """The index of ids (N, T) up to order min(longest, T), and the numbers (N, T - n + 1) of all windows.

        Entry n of the list holds order n; entry 0 is the empty n-gram, (N, T + 1) zeros.
        """
        tables: list[Ranks] = []
        ranks = [np.zeros((ids.shape[0], ids.shape[1] + 1), dtype=np.int64)]
        for n in range(1, min(longest, ids.shape[1]) + 1):
            codes: Ranks = (ranks[-1][:, :-1] * size + ids[:, n - 1 :]).astype(np.int64, copy=False)
            table, inverse = np.unique(codes, return_inverse=True)
            tables.append(table)
            ranks.append(inverse.reshape(codes.shape))
        return cls(size, tuple(tables)), ranks

    def ranks(self, ids: IdMatrix) -> list[Ranks]:
        """Numbers of all windows of other strings (N, T), in the form of ``of``; -1 for an n-gram not in the index."""
        ranks = [np.zeros((ids.shape[0], ids.shape[1] + 1), dtype=np.int64)]
        for n, table in enumerate(self.codes[: ids.shape[1]], start=1):
            prefix = ranks[-1][:, :-1]
            codes: Ranks = (prefix * self.size + ids[:, n - 1 :]).astype(np.int64, copy=False)
            place = np.minimum(np.searchsorted(table, codes), table.size - 1).astype(np.int64)
            ranks.append(np.where((prefix >= 0) & (table[place] == codes), place, -1))
        return ranks


class NgramProfile:
    """n-gram counts of a reference set, taken once, to which any number of other sets is compared."""

    def __init__(
        self, ids: IdMatrix, size: int, *, orders: Sequence[int] = ORDERS, forms: Sequence[str] = FORMS
    ) -> None:
        """Count the n-grams of ids (N, T) over V = size symbols.

        Raises ValueError for an empty set, an id beyond V, n < 1 or an unknown form.
        """
        if unknown := set(forms) - set(FORMS):
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {', '.join(sorted(unknown))}")
        if min(orders) < 1:
            raise ValueError(f"n must be at least 1, got {min(orders)}")
        ids = checked(ids, size, "the reference")
        self.orders, self.forms, self.size = tuple(orders), tuple(forms), size
        self._index, ranks = NgramIndex.of(ids, size, max(orders))
        self._counts = {
            (n, form): np.bincount(_windows(ranks[n], ids, n, form), minlength=self._index.codes[n - 1].size)
            for n in orders
            for form in forms
            if n <= ids.shape[1]
        }

    def divergences(self, ids: IdMatrix) -> dict[str, float | None]:
        """JS-n in bits between ids (N, T) and the reference, for each order and form, keyed ``js4_padded``.

        0 for equal distributions, 1 for disjoint ones.  None where it is not defined: strings shorter than n in
        either set, or a reference without a bare n-gram.  A set without one, all padding, shares nothing: 1.
        Raises ValueError for an empty set or an id beyond V.
        """
        ids = checked(ids, self.size, "the compared set")
        ranks = self._index.ranks(ids)
        found: dict[str, float | None] = {f"js{n}_{form}": None for n in self.orders for form in self.forms}
        for (n, form), counts in self._counts.items():
            if n < len(ranks):
                found[f"js{n}_{form}"] = _divergence(counts, _windows(ranks[n], ids, n, form))
        return found


def js_divergence(ids: IdMatrix, reference: IdMatrix, n: int, size: int, form: str = "padded") -> float | None:
    """JS-n in bits between two sets of strings (N, T) over V = size symbols; see ``NgramProfile.divergences``."""
    return NgramProfile(reference, size, orders=(n,), forms=(form,)).divergences(ids)[f"js{n}_{form}"]


def _windows(ranks: Ranks, ids: IdMatrix, n: int, form: str) -> Ranks:
    # Padding stands only at the end, so a window is free of it if its last symbol is.
    return ranks.ravel() if form == "padded" else ranks[ids[:, n - 1 :] != PADDING]


def _divergence(counts: Ranks, windows: Ranks) -> float | None:
    """JS in bits: H((p + q) / 2) - (H(p) + H(q)) / 2, with p of the reference's counts, q of the windows' numbers.

    An n-gram that only one side has adds half its probability whatever it is, so those that the reference lacks
    (number -1) need not be told apart.
    """
    if not counts.sum():
        return None
    if not windows.size:
        return 1.0
    known = windows[windows >= 0]
    p = counts / counts.sum()
    q = np.bincount(known, minlength=counts.size) / windows.size
    alien = (windows.size - known.size) / windows.size
    divergence = (_relative_entropy(p, (p + q) / 2) + _relative_entropy(q, (p + q) / 2) + alien) / 2
    return min(max(divergence, 0.0), 1.0)


def _relative_entropy(p: NDArray[np.float64], m: NDArray[np.float64]) -> float:
    """Sum of p log2(p / m) where p > 0, in bits."""
    held = p > 0
    return float(np.sum(p[held] * np.log2(p[held] / m[held])))
