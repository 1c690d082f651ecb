"""What every engine is asked: rows that are drawn and masked, and texts to score."""

from __future__ import annotations

import numpy as np

from model.decoding import Decoding
from model.sampler import Part

TEXTS = ["", "a", "zebra", "abcdefgh", "x?y", "qqqqqqqqqqqq", "e\u0301a"] * 50


def parts_of(n: int) -> list[Part]:
    """Rows drawn and masked, beside rows that are not; the second lies in two runs if n is more than a slice."""
    mask = np.ones((8, 28), dtype=np.bool_)
    mask[0] = False
    mask[0, 2] = True
    return [
        Part(1, 4, 11, 5, Decoding(temperature=1.0)),
        Part(n // 3, n - 2, 12, 0, Decoding(temperature=0.7, mask=mask)),
    ]
