"""Latent vectors from a counter: row i of a seed is the same in any batch, on any machine, in any library.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives 64-bit words by position.
Each word holds four 16-bit indices into a table of 65,536 normal quantiles, so that a latent is a look-up and not
a floating-point formula: nothing is left that two libraries could round differently.
"""

from __future__ import annotations

import threading
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

WORDS_PER_BLOCK = 4  # Philox4x64 yields four 64-bit words for each value of its counter
COORDINATES_PER_WORD = 4
MAX_SEED = MAX_WORD = 2**64 - 1
NO_WORDS = np.zeros(WORDS_PER_BLOCK, dtype=np.uint64)
LATENTS, SYMBOLS, LABELS = 0, 1, 2  # what words are for: second half of Philox's key


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
    words = _words(seed, LATENTS, first, count, -(-size // COORDINATES_PER_WORD))
    indices = words.astype("<u8", copy=False).view("<u2")[:, :size]
    table: NDArray[np.float32] = normal_quantiles()
    return table.take(indices)


def uniforms(seed: int, first: int, count: int, size: int, *, purpose: int = SYMBOLS) -> NDArray[np.float64]:
    """Numbers in (0, 1), float64 (count, size), for drawing what strings first .. first + count - 1 are made of.

    purpose: SYMBOLS or LABELS, which share no numbers.
    """
    words = _words(seed, purpose, first, count, size)[:, :size]
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def slerp(start: NDArray[np.float32], end: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Latents on the arc from one (Z,) to another, ends included, float32 (steps, Z).

    The arc keeps the length that latents of N(0, 1) have, where a straight line passes through the unlikely middle.
    Latents on one line through 0 have no arc between them and are joined by the straight line.  Shoemake 1985.
    """
    a, b = start.astype(np.float64), end.astype(np.float64)
    share = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    cosine = float(np.clip(a @ b / norms, -1.0, 1.0)) if norms else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        path = (1.0 - share) * a + share * b
    else:
        path = (np.sin((1.0 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    # The ends exactly, so that they give the strings that they are the latents of.
    path[0], path[-1] = a, b
    return path.astype(np.float32)


_of_this_thread = threading.local()


def _stream() -> np.random.Philox:
    """A generator of this thread's own; whoever takes it sets its state."""
    if not hasattr(_of_this_thread, "stream"):
        _of_this_thread.stream = np.random.Philox(key=0)
    stream: np.random.Philox = _of_this_thread.stream
    return stream


def _words(seed: int, purpose: int, first: int, count: int, size: int) -> NDArray[np.uint64]:
    """At least ``size`` random words for each of the rows first .. first + count - 1, uint64 (count, blocks of 4)."""
    blocks = -(-size // WORDS_PER_BLOCK)
    stream = _stream()
    position = first * blocks
    # Setting the state takes a tenth of the time that making a generator does.
    stream.state = {
        "bit_generator": "Philox",
        "state": {
            "counter": np.array([position >> shift & MAX_WORD for shift in (0, 64, 128, 192)], dtype=np.uint64),
            "key": np.array([seed, purpose], dtype=np.uint64),
        },
        "buffer": NO_WORDS,
        "buffer_pos": WORDS_PER_BLOCK,
        "has_uint32": 0,
        "uinteger": 0,
    }
    return stream.random_raw(count * blocks * WORDS_PER_BLOCK).reshape(count, blocks * WORDS_PER_BLOCK)
