"""What a reader wants to see beside the scores: examples, and how lengths and characters are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING, Alphabet
from training.evaluation.copies import Pair
from training.evaluation.ngrams import IdMatrix

EXAMPLES = 20
NEAREST = 10
CHARACTERS = 40


def examples(real: IdMatrix, generated: IdMatrix, pairs: list[Pair], alphabet: Alphabet) -> dict[str, Any]:
    """The first strings of both sets (N, T), and the samples nearest to a training string without being one."""
    near = sorted({pair for pair in pairs if pair.similarity < 1}, key=lambda pair: (-pair.similarity, pair.sample))
    return {
        "real": alphabet.decode(real[:EXAMPLES]),
        "generated": alphabet.decode(generated[:EXAMPLES]),
        "nearest": [{"sample": p.sample, "training": p.training, "similarity": p.similarity} for p in near[:NEAREST]],
    }


def histograms(real: IdMatrix, generated: IdMatrix, alphabet: Alphabet) -> dict[str, Any]:
    """Shares of lengths from 0 to the longest, and of the most common characters, in both sets (N, T).

    The share of a character is of all characters of its set, those not listed included.
    """
    shares = [_character_shares(ids, alphabet.size) for ids in (real, generated)]
    common = np.argsort(-(shares[0] + shares[1]), kind="stable")[:CHARACTERS]
    common = common[(shares[0] + shares[1])[common] > 0]
    longest = max(int((ids != PADDING).sum(axis=1).max()) for ids in (real, generated))
    symbols = ["", "\ufffd", *alphabet.characters]
    return {
        "length": {
            "values": list(range(longest + 1)),
            "real": _length_shares(real)[: longest + 1].tolist(),
            "generated": _length_shares(generated)[: longest + 1].tolist(),
        },
        "character": {
            "values": [symbols[i] for i in common],
            "real": shares[0][common].tolist(),
            "generated": shares[1][common].tolist(),
        },
    }


def _length_shares(ids: IdMatrix) -> NDArray[np.float64]:
    """(T + 1,): share of strings of each length."""
    return np.bincount((ids != PADDING).sum(axis=1), minlength=ids.shape[1] + 1) / len(ids)


def _character_shares(ids: IdMatrix, size: int) -> NDArray[np.float64]:
    """(V,): share of each symbol among the characters; padding is none, so its share is 0."""
    counts = np.bincount(ids.ravel(), minlength=size)
    counts[PADDING] = 0
    return counts / max(int(counts.sum()), 1)
