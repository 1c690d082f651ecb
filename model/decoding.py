"""From logits to symbols: the likeliest, or drawn by a counter; masked where only some symbols are allowed.

N batch, T length, V alphabet.  Positions are independent given the latent, so a mask or a draw at one of them leaves
the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.alphabet import UNKNOWN
from model.latents import uniforms

Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decoding:
    """How the logits of some strings become symbols.

    temperature: None for the likeliest symbol; else symbols are drawn from softmax(logits / temperature).
    mask: (T, V), true for what is allowed where; None allows everything.  The unknown symbol is never chosen.
    """

    temperature: float | None = None
    mask: Mask | None = None


def likeliest(logits: Logits) -> NDArray[np.intp]:
    """The likeliest symbol at every position, (N, T), of logits (N, T, V), which lose their unknown symbol."""
    logits[:, :, UNKNOWN] = -np.inf
    symbols: NDArray[np.intp] = logits.argmax(axis=2)
    return symbols


def decode(logits: Logits, decoding: Decoding, seed: int, first: int) -> NDArray[np.intp]:
    """The symbols, (N, T), of strings first .. first + N - 1 of a seed from their logits (N, T, V).

    What is drawn for string i depends on (seed, i) alone.
    """
    if decoding.mask is not None:
        logits = np.where(decoding.mask, logits, -np.inf)
    if decoding.temperature is None:
        return likeliest(logits)
    logits[:, :, UNKNOWN] = -np.inf
    return _draw(logits / np.float64(decoding.temperature), uniforms(seed, first, *logits.shape[:2]))


def _draw(logits: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.intp]:
    """Inverts each position's distribution function, (N, T, V), at a number in (0, 1), (N, T)."""
    running = np.cumsum(np.exp(logits - logits.max(axis=2, keepdims=True)), axis=2)
    total = running[:, :, -1]
    # Below the total whatever rounding does, so that no symbol of probability 0 is ever the answer.
    reached = np.minimum(at * total, np.nextafter(total, 0))
    symbols: NDArray[np.intp] = (running <= reached[:, :, np.newaxis]).sum(axis=2)
    return symbols
