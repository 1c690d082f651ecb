"""What requests want of a model: strings of a seed, strings of given latents, scores of given texts.

A job is made on the event loop and then worked on by one inference thread at a time; what each run gave goes
back to the loop as an ``Outcome``.  N strings, Z latent, K labels, 0 for a model that is not conditional.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from model.decoding import Decoding
from service.version import Floats, Rules, Version

OVERSAMPLED = 64  # candidates that one run may try where constraints refuse most of them
FIRST_CHUNK = 16  # strings in the first run of a stream, so that its first bytes come soon


@dataclass
class Outcome:
    """What runs gave.

    places: the number of each string in its seed.  labels: that of each string, where the model is conditional.
    attempted: strings tried, up to the last that was needed.  refused: how often each constraint refused one.
    """

    texts: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    latents: list[list[float]] = field(default_factory=list)
    attempted: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Append what a further run gave."""
        self.texts += other.texts
        self.places += other.places
        self.labels += other.labels
        self.scores += other.scores
        self.latents += other.latents
        self.attempted += other.attempted
        self.refused.update(other.refused)


@dataclass(frozen=True)
class Piece:
    """The part of a job that one run takes: n items from the first-th on."""

    job: Job
    first: int
    n: int


class Job(ABC):
    """One request in the queue.

    deadline: on the clock of perf_counter.  taken: items that runs have taken, of the ``total`` wanted.
    at_once: items of one run, at most.  plain: whether a run of it is one of the generator and next to nothing else.
    """

    total: int
    at_once = sys.maxsize
    plain = False

    def __init__(self, version: Version, deadline: float = math.inf) -> None:
        self.version, self.deadline = version, deadline
        self.submitted = perf_counter()
        self.taken = 0

    @property
    def waiting(self) -> int:
        """Items that no run has taken and the next one may take; the bound of the queue counts them."""
        return self.total - self.taken

    @property
    def finished(self) -> bool:
        """Whether no further run is needed, now or later."""
        return self.taken >= self.total

    def take(self, n: int) -> Piece:
        """The next n items."""
        piece = Piece(self, self.taken, n)
        self.taken += n
        return piece

    @abstractmethod
    def settle(self, piece: Piece, results: Sequence[Any], latents: Floats | None) -> Outcome:
        """What the run of a piece means for the job.  results: a string or a score for each item."""


class Making(Job):
    """A job that makes strings: ``latents`` says of what, ``decoding`` how."""

    seed = 0
    decoding: Decoding | None = None

    @abstractmethod
    def latents(self, piece: Piece) -> Floats:
        """The latents of a piece, (n, Z + K)."""


class Generation(Making):
    """Strings of a seed from the first-th on, until n are accepted or max_attempts were tried.

    Candidates are judged in their order and the surplus of a run is forgotten, so that what is accepted does not depend
    on how the runs were cut.  window: strings of a stream that may wait for their reader; None: all of them.
    """

    def __init__(
        self,
        version: Version,
        seed: int,
        n: int,
        *,
        first: int = 0,
        label: str | None = None,
        decoding: Decoding | None = None,
        rules: Rules | None = None,
        max_attempts: int | None = None,
        scored: bool = False,
        shows_latents: bool = False,
        window: int | None = None,
        deadline: float = math.inf,
    ) -> None:
        super().__init__(version, deadline)
        self.seed, self.n, self.first, self.label = seed, n, first, label
        self.decoding, self.rules = decoding, rules
        self.total = n if rules is None else max_attempts or n
        if rules is not None and rules.at_once is not None:
            self.at_once = rules.at_once
        self.scored, self.shows_latents = scored, shows_latents
        self.window = window
        self.plain = rules is None and decoding is None and not scored and window is None
        # One thread writes each of these two, so that neither needs a lock: an inference thread, and the event loop.
        self.accepted, self._granted = 0, n if window is None else min(window, FIRST_CHUNK)
        self._held_back = 0 if window is None else window - self._granted
        self._judging = 0  # strings of a run, of which it is not known yet how many are accepted
        self._seen: set[str] = set()

    @property
    def waiting(self) -> int:
        # A run may accept more than was granted, which the next ones then make good.
        missing = max(0, min(self.n, self._granted) - self.accepted - self._judging)
        if not missing or self.rules is None:
            return missing
        # As many as should give what is missing, at the share accepted so far.
        tried = self.taken - self._judging
        needed = math.ceil(missing * (tried + 2) / (self.accepted + 1)) if tried else missing
        return min(max(missing, min(needed, OVERSAMPLED)), self.total - self.taken)

    @property
    def finished(self) -> bool:
        return self.accepted >= self.n or self.taken >= self.total

    def take(self, n: int) -> Piece:
        piece = Piece(self, self.first + self.taken, n)
        self.taken += n
        if self.rules is None:  # whatever comes is accepted, so that the rest can wait for the next run at once
            self.accepted += n
        else:
            self._judging = n
        return piece

    def grant(self, n: int) -> None:
        """The reader of a stream took n strings: as many more may be made, and after the first all of the window."""
        self._granted += n + self._held_back
        self._held_back = 0

    def latents(self, piece: Piece) -> Floats:
        return self.version.engine.latents(self.seed, piece.first, piece.n, self.label)

    def settle(self, piece: Piece, results: Sequence[Any], latents: Floats | None) -> Outcome:
        texts = list(results)
        kept: Sequence[int] = range(piece.n)
        outcome = Outcome(texts, [], attempted=piece.n)
        if self.rules is not None:
            kept = self._judge(texts, outcome)
            outcome.texts = [texts[i] for i in kept]
        if self.window is not None or self.rules is not None:
            outcome.places = [piece.first + i for i in kept]
        artifact = self.version.artifact
        if artifact.labels and latents is not None:
            outcome.labels = artifact.labels.names_of(latents[list(kept)])
        if self.scored and outcome.texts:
            outcome.scores = self.version.engine.scores(outcome.texts, outcome.labels).tolist()
        if self.shows_latents and latents is not None:
            outcome.latents = latents[list(kept), : artifact.latent].tolist()
        return outcome

    def _judge(self, texts: Sequence[str], outcome: Outcome) -> list[int]:
        """The places of the accepted ones, at most as many as are missing."""
        assert self.rules is not None
        kept: list[int] = []
        for i, reason in enumerate(self.rules.judge(texts, self._seen)):
            if reason is not None:
                outcome.refused[reason] += 1
                continue
            kept.append(i)
            if self.accepted + len(kept) == self.n:
                outcome.attempted = i + 1
                break
        self.accepted += len(kept)
        self._judging = 0
        return kept


class Decoded(Making):
    """The strings of given latents and labels (N, Z + K)."""

    def __init__(self, version: Version, latents: Floats, deadline: float = math.inf) -> None:
        super().__init__(version, deadline)
        self.total, self._rows = len(latents), latents

    def latents(self, piece: Piece) -> Floats:
        return self._rows[piece.first : piece.first + piece.n]

    def settle(self, piece: Piece, results: Sequence[Any], latents: Floats | None) -> Outcome:
        return Outcome(list(results))


class Scoring(Job):
    """The critic's scores of given texts.  label: of all, for a conditional model."""

    def __init__(
        self, version: Version, texts: Sequence[str], deadline: float = math.inf, label: str | None = None
    ) -> None:
        super().__init__(version, deadline)
        self.total, self._texts, self._label = len(texts), texts, label

    def texts(self, piece: Piece) -> Sequence[str]:
        """The texts of a piece."""
        return self._texts[piece.first : piece.first + piece.n]

    def labels(self, piece: Piece) -> Sequence[str]:
        """The label of each text of a piece; empty for a model that is not conditional."""
        return [] if self._label is None else [self._label] * piece.n

    def settle(self, piece: Piece, results: Sequence[Any], latents: Floats | None) -> Outcome:
        return Outcome(scores=list(results))
