"""Latent vectors from a counter: row i of a seed is the same in any batch, on any machine, in any library.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives 64-bit words by position.
Each word holds four 16-bit indices into a table of 65,536 normal quantiles, so that a latent is a look-up and not
a floating-point formula: nothing is left that two libraries could round differently.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

WORDS_PER_BLOCK = 4  # Philox4x64 yields four 64-bit words for each value of its counter
COORDINATES_PER_WORD = 4
MAX_SEED = 2**64 - 1


@cache
def normal_quantiles() -> NDArray[np.float32]:
    """The quantiles of N(0, 1) at (k + 1/2) / 65536, float32 (65536,), exactly symmetric."""
    law = NormalDist()
    upper = np.array([law.inv_cdf((k + 0.5) / 65536) for k in range(32768, 65536)], dtype=np.float32)
    return np.concatenate([-upper[::-1], upper])


def latents(seed: int, first: int, count: int, size: int) -> NDArray[np.float32]:
    """Latent vectors first .. first + count - 1 of a seed, float32 (count, size), distributed as N(0, 1).

    Raises ValueError if the seed is not an unsigned 64-bit number or a position is negative.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {seed}")
    if first < 0 or count < 0:
        raise ValueError(f"first and count must not be negative, got {first} and {count}")
    blocks = -(-size // (WORDS_PER_BLOCK * COORDINATES_PER_WORD))
    stream = np.random.Philox(key=np.array([seed, 0], dtype=np.uint64), counter=first * blocks)
    words = stream.random_raw(count * blocks * WORDS_PER_BLOCK)
    indices = (
        words.astype("<u8", copy=False)
        .view("<u2")
        .reshape(count, blocks * WORDS_PER_BLOCK * COORDINATES_PER_WORD)[:, :size]
    )
    table: NDArray[np.float32] = normal_quantiles()
    return table.take(indices)
