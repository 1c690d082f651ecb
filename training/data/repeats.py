"""Rows that were seen before, told by their hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.alphabet import Ids
from training.data.ordering import ascending, slices
from training.data.storage import NpyWriter

SLICE = 1 << 16  # rows that are hashed at a time


class Repeats:
    """Tells rows that were seen before, by a 64-bit hash of each row.

    Two different rows fall together with a chance of about n^2 / 2^65 among n rows: once in ten million corpora of a
    million rows.  The first of equal rows is kept, whatever their labels.  Eight bytes are remembered for each row.
    """

    def __init__(self) -> None:
        self._seen: list[NDArray[np.uint64]] = []

    def fresh(self, ids: Ids) -> NDArray[np.bool_]:
        """Which rows of ids (N, T) were not seen before, (N,)."""
        hashes, first = np.unique(hash_rows(ids), return_index=True)
        new = np.ones(len(hashes), dtype=np.bool_)
        for seen in self._seen:
            at = np.minimum(np.searchsorted(seen, hashes), len(seen) - 1)
            new &= seen[at] != hashes
        self._remember(hashes[new])
        kept = np.zeros(len(ids), dtype=np.bool_)
        kept[first[new]] = True
        return kept

    def _remember(self, hashes: NDArray[np.uint64]) -> None:
        # Sorted runs of doubling size: each hash is merged a logarithmic number of times.
        if len(hashes):
            self._seen.append(hashes)
        while len(self._seen) > 1 and len(self._seen[-2]) <= 2 * len(self._seen[-1]):
            self._seen[-2:] = [np.sort(np.concatenate(self._seen[-2:]), kind="stable")]


def hash_rows(ids: Ids) -> NDArray[np.uint64]:
    """A 64-bit hash of each row of ids (N, T), (N,): words of eight bytes, each mixed in as splitmix64 does."""
    rows = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), ids.shape[1] * ids.itemsize)
    words = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : rows.shape[1]] = rows
    hashes = np.full(len(rows), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for word in words.view(np.uint64).T:
        hashes = (hashes ^ word) + np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes ^= hashes >> np.uint64(31)
    return hashes


def sorted_hashes(ids: Ids) -> NDArray[np.uint64]:
    """The hashes of all rows of ids (N, T), (N,), ascending; equal rows have equal ones."""
    hashes = np.empty(len(ids), dtype=np.uint64)
    for i, rows in enumerate(slices(ids, SLICE)):
        hashes[i * SLICE : i * SLICE + len(rows)] = hash_rows(rows)
    hashes.sort()
    return hashes


def write_sorted_hashes(ids: Ids, path: Path) -> None:
    """As ``sorted_hashes``, into an .npy file, with few rows and hashes in memory.  Raises OSError."""
    with NpyWriter(path, np.dtype(np.uint64)) as writer:
        for part in ascending((hash_rows(rows) for rows in slices(ids, SLICE)), path.parent):
            writer.append(part)
