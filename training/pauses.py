"""When a run leaves its rounds for a moment: what is due by the clock, and a signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interval:
    """Says when something is due again, on the clock of training seconds; the first time may come earlier."""

    def __init__(self, seconds: float, now: float, *, first: float | None = None) -> None:
        self._seconds = seconds
        self._step = min(seconds, first or seconds)
        self._next = now + self._step

    def is_due(self, now: float) -> bool:
        """Whether the time has come."""
        return now >= self._next

    def due(self, now: float) -> bool:
        """Whether the time has come; if so the next time is set, at most twice as far away as the last."""
        if not self.is_due(now):
            return False
        self._step = min(self._seconds, 2 * self._step)
        self._next = now + self._step
        return True


@contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that a round is ended and saved; a second one acts at once."""
    received: list[int] = []

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
