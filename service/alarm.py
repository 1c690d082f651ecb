"""One timer for many deadlines: requests that are answered in time, which is nearly all of them, set none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from time import perf_counter


class Alarm:
    """Goes off at the nearest of the deadlines it was told, on the clock of perf_counter.

    ring: what is done then; returns the deadline that is the nearest from now on, inf if there is none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], float]) -> None:
        self._loop, self._ring = loop, ring
        self._nearest = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, deadline: float) -> None:
        """Go off at this deadline, or before."""
        if deadline < self._nearest:
            self.cancel()
            self._nearest = deadline
            self._timer = self._loop.call_later(max(0.0, deadline - perf_counter()), self._go_off)

    def _go_off(self) -> None:
        self._nearest = math.inf
        self.expect(self._ring())

    def cancel(self) -> None:
        """Never go off."""
        if self._timer is not None:
            self._timer.cancel()
