"""When a run leaves its rounds for a moment: what is due by the clock, a signal, and the ranks' meetings."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from training.distributed import Ranks
from training.loop import Training

MEETING_SECONDS = 0.05  # between meetings of several ranks: what one costs is less than a hundredth of that


class Interval:
    """Says when something is due again, on the clock of training seconds; the first time may come earlier.

    share: of the training seconds that it may take itself: where it takes long, it is due less often than asked for.
    spent: seconds that it has taken so far.
    """

    def __init__(self, seconds: float, now: float, *, first: float | None = None, share: float = math.inf) -> None:
        self.share, self.spent = share, 0.0
        self._seconds, self._began = seconds, now
        self._step = min(seconds, first or seconds)
        self._next = now + self._step

    def is_due(self, now: float) -> bool:
        """Whether the time has come."""
        return now >= self._next and self.spent <= self.share * (now - self._began)

    def due(self, now: float) -> bool:
        """Whether the time has come; if so the next time is set, at most twice as far away as the last."""
        if not self.is_due(now):
            return False
        self._step = min(self._seconds, 2 * self._step)
        self._next = now + self._step
        return True

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Count the seconds of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - started


class Meetings:
    """Between rounds, all ranks are given one clock and learn of every signal, so that they decide alike.

    One process meets after every round.  Several do it every MEETING_SECONDS, and at the last round of all.
    rounds: to be played before the next meeting.
    """

    def __init__(self, ranks: Ranks, training: Training, *, end: int | None, pauses: Sequence[Interval] = ()) -> None:
        """end: the last round of all, or None if the rounds have no end.  pauses: that all ranks must agree on."""
        self.rounds = 1
        self._ranks, self._training, self._end, self._pauses = ranks, training, end, pauses
        self._met = (training.round, training.seconds, training.cpu_seconds)

    def meet(self, received: list[int]) -> int:
        """Take over rank 0's clock and the processor time of all; returns a signal that came to any rank, 0 if none.

        received: the signals that came to this rank.
        """
        training, (number, seconds, cpu_seconds) = self._training, self._met
        mine = (training.seconds, training.cpu_seconds - cpu_seconds, received[0] if received else 0)
        spent = (pause.spent for pause in self._pauses)
        clocks, shares, numbers, *of_pauses = zip(*self._ranks.gather(*mine, *spent), strict=True)
        training.seconds, training.cpu_seconds = clocks[0], cpu_seconds + sum(shares)
        for pause, by_rank in zip(self._pauses, of_pauses, strict=True):
            pause.spent = by_rank[0]
        self._met = (training.round, training.seconds, training.cpu_seconds)
        self.rounds = 1
        if self._ranks.count > 1 and training.round > number:
            speed = (training.round - number) / max(training.seconds - seconds, 1e-9)
            self.rounds = max(1, min(1000, int(MEETING_SECONDS * speed)))
        if self._end is not None:
            self.rounds = min(self.rounds, self._end - training.round)
        return int(max(numbers))


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that a round is ended and saved; a second one acts at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # a worker of Ray plays on a thread of its own
        yield received
        return

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for name in before:
            signal.signal(name, signal.SIG_DFL)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
