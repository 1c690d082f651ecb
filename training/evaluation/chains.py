"""Markov chains over characters: the rivals that every generator of short strings must be compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.alphabet import PADDING
from training.evaluation.ngrams import IdMatrix, NgramIndex, Ranks, checked


@dataclass(frozen=True)
class MarkovChain:
    """Maximum-likelihood chain whose next character depends on the last ``order`` ones.

    It is kept as a finite automaton: a state is a context, an edge one character that followed it.  The edges of a
    state lie together, so one running sum of all counts serves as every state's cumulative distribution.

    order: characters of context.  length: T.  start: the state of an empty string.
    totals, offsets: (states,), count of what followed, and the running sum before the state's first edge.
    running: (edges,), running sum of counts.  symbols, targets: (edges,), the character and the state it leads to.
    """

    order: int
    length: int
    dtype: np.dtype[np.integer]
    start: int
    totals: Ranks
    offsets: Ranks
    running: Ranks
    symbols: Ranks
    targets: Ranks

    @classmethod
    def fit(cls, ids: IdMatrix, size: int, order: int) -> MarkovChain:
        """Count what follows each context in ids (N, T) over V = size symbols; the end of a string is a padding.

        Contexts reach back over the start of a string through a start symbol of their own.
        Raises ValueError for an empty set, an id beyond V or an order below 1.
        """
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        ids = checked(ids, size, "the training set")
        count, length = ids.shape
        # START = V is the extra symbol.  The last column gives each state that training reached at T an edge.
        extended = np.full((count, order + length + 1), size, dtype=np.int64)
        extended[:, order:-1], extended[:, -1] = ids, PADDING
        index, ranks = NgramIndex.of(extended, size + 1, order + 1)
        contexts, edges, codes = ranks[order], ranks[order + 1], index.codes[order]
        origins, symbols = np.divmod(codes, size + 1)
        states = index.codes[order - 1].size
        counts = np.bincount(edges[:, :length].ravel(), minlength=codes.size)
        # A context seen only at the very end of a full string: what follows was cut off, so the string ends there.
        counts[np.bincount(origins, counts, states)[origins] == 0] = 1
        targets = np.empty(codes.size, dtype=np.int64)
        targets[edges] = contexts[:, 1:]
        return cls(
            order=order,
            length=length,
            dtype=ids.dtype,
            start=int(contexts[0, 0]),
            **_automaton(states, origins, counts, symbols, targets),
        )

    def sample(self, n: int, seed: int | tuple[int, ...] = 0) -> IdMatrix:
        """Draw n strings (n, T), padded; the same for the same seed.  All strings advance by one character together."""
        rng = np.random.default_rng(seed)
        out = np.zeros((n, self.length), dtype=self.dtype)
        state = np.full(n, self.start, dtype=np.int64)
        for t in range(self.length):
            drawn = self.offsets[state] + rng.integers(0, self.totals[state])
            edge = np.searchsorted(self.running, drawn, side="right")
            out[:, t], state = self.symbols[edge], self.targets[edge]
        return out


def _automaton(
    states: int, origins: Ranks, counts: NDArray[np.integer], symbols: Ranks, targets: Ranks
) -> dict[str, Ranks]:
    """The chain's arrays, with one more state, the end, which padding leads to and which pads for ever."""
    origins, counts, symbols = np.append(origins, states), np.append(counts, 1), np.append(symbols, PADDING)
    running = np.cumsum(counts)
    totals = np.zeros(states + 1, dtype=np.int64)
    np.add.at(totals, origins, counts)
    return {
        "totals": totals,
        "offsets": np.cumsum(totals) - totals,
        "running": running,
        "symbols": symbols,
        "targets": np.where(symbols == PADDING, states, np.append(targets, states)),
    }
