"""One run of the network for pieces of several jobs, and how many strings a second runs make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from model.sampler import Part
from service.jobs import Making, Outcome, Piece, Scoring
from service.version import Floats


def infer(pieces: Sequence[Piece]) -> list[Outcome | Exception]:
    """What a run gives each of its pieces, all of one model and all to be made or all to be scored.

    An Exception instead of an Outcome is that piece's own; what the network itself fails with is raised.
    """
    return _score(pieces) if isinstance(pieces[0].job, Scoring) else _make(pieces)


def _make(pieces: Sequence[Piece]) -> list[Outcome | Exception]:
    """The strings of the pieces, in one pass of the generator."""
    rows, parts, start = [], [], 0
    for piece in pieces:
        job = piece.job
        assert isinstance(job, Making)
        rows.append(job.latents(piece))
        if job.decoding is not None:
            parts.append(Part(start, start + piece.n, job.seed, piece.first, job.decoding))
        start += piece.n
    latents = rows[0] if len(rows) == 1 else np.concatenate(rows)
    texts = pieces[0].job.version.engine.texts(latents, parts)
    if len(texts) != start:
        raise RuntimeError(f"the engine made {len(texts)} strings of {start} latents")
    return _settle(pieces, texts, latents)


def _score(pieces: Sequence[Piece]) -> list[Outcome | Exception]:
    """The scores of the pieces, in one pass of the critic."""
    texts: list[str] = []
    labels: list[str] = []
    for piece in pieces:
        assert isinstance(piece.job, Scoring)
        texts += piece.job.texts(piece)
        labels += piece.job.labels(piece)
    return _settle(pieces, pieces[0].job.version.engine.scores(texts, labels).tolist(), None)


def _settle(pieces: Sequence[Piece], results: Sequence[Any], latents: Floats | None) -> list[Outcome | Exception]:
    """Give each piece its share of the results, and of the latents that they were made of."""
    outcomes: list[Outcome | Exception] = []
    start = 0
    for piece in pieces:
        share = slice(start, start + piece.n)
        try:
            outcomes.append(piece.job.settle(piece, results[share], None if latents is None else latents[share]))
        except Exception as error:  # of this piece alone, such as its scores: the others are whole
            outcomes.append(error)
        start += piece.n
    return outcomes


class RunObserver(Protocol):
    """Who is told of every run: ``service.metrics``."""

    def observe_run(self, strings: int, seconds: float, waits_s: Sequence[float]) -> None:
        """Called on an inference thread.  waits_s: of the requests whose first strings these were."""


class Rate:
    """Strings per second of the engine while it runs, the latest runs weighing most."""

    KEEP = 0.9  # the weight of a run is 0.9 times that of the next one

    def __init__(self) -> None:
        self.per_s: float | None = None
        self._strings = self._seconds = 0.0
        self._last_ended = 0.0

    def add(self, strings: int, started: float, ended: float) -> None:
        """Count one run, by when it started and ended; time that it shared with the run before it counts once."""
        self._strings = self.KEEP * self._strings + strings
        self._seconds = self.KEEP * self._seconds + ended - max(started, self._last_ended)
        self._last_ended = ended
        self.per_s = self._strings / max(self._seconds, 1e-9)
