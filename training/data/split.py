"""Which samples are kept for evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.errors import DataError

# The second half of the Philox key, so that no other stream of the same seed repeats the split's numbers.
_PURPOSE = 0x5350_4C49_5400_0001


class Split:
    """Row i is held out when number i of a counter-based stream of the seed falls below the share.

    The decision depends on (seed, share, i) alone, so it does not matter in which portions rows are asked for.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._stream = np.random.Philox(key=np.array([seed, _PURPOSE], dtype=np.uint64))
        self._bound = np.uint64(share * 2.0**64)

    def next(self, rows: int) -> NDArray[np.bool_]:
        """Whether each of the following rows is held out, (rows,)."""
        # The raw stream of a bit generator never changes between versions of numpy; that of random() may.
        raw: NDArray[np.uint64] = self._stream.random_raw(rows)
        return raw < self._bound


def split_rows(rows: int, share: float, seed: int, name: str) -> NDArray[np.bool_]:
    """Whether each row is held out, (rows,).  A part that would be empty takes the last row of the other.

    Raises DataError naming the source if there are fewer than two rows.
    """
    require_two(rows, name)
    held_out = Split(seed, share).next(rows)
    if held_out.all() or not held_out.any():
        held_out[-1] = not held_out[-1]
    return held_out


def require_two(rows: int, name: str, detail: str = "") -> None:
    """Raise DataError unless there is a sample to train on and one to hold out."""
    if rows < 2:
        raise DataError(
            f"{name} leaves {rows} sample{'' if rows == 1 else 's'} to learn from{detail}: "
            "at least 2 are needed, one to train on and one held out"
        )
