"""A connection in time: deadlines for what is read and for what is written, and who is told when its client goes.

A few numbers are kept of each connection, and one timer looks at them now and then: a request that comes and goes
whole sets none.  Written against the insides of uvicorn 0.54.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

CONNECTION = "charwgan.connection"  # in scope["extensions"]: the Connection that a request came by
NEVER = float("inf")
ENDING_S = 1.0  # in which a request arrives that was sent before its client could know that the server ends


@dataclass(frozen=True)
class Bounds:
    """What a connection keeps to.  refused: is told the kind of each problem that the wire answers by itself."""

    header_timeout_s: float
    send_timeout_s: float
    max_connections: int
    refused: Callable[[str], object]


class Connection:
    """What an application may know of the connection that a request came by."""

    __slots__ = ("_callbacks", "lost", "reading")

    def __init__(self) -> None:
        self.lost = False
        self.reading = False  # of a request that is not there as a whole yet
        self._callbacks: dict[Callable[[], object], None] = {}

    def on_lost(self, callback: Callable[[], object]) -> Callable[[], object]:
        """Call back once when the client has gone, on the event loop; at once if it has.  Returns what undoes this."""
        if self.lost:
            callback()
        else:
            self._callbacks[callback] = None
        return partial(self._callbacks.pop, callback, None)

    def lose(self) -> Iterator[Callable[[], object]]:
        """The client has gone: what is to be called back, which is nothing the second time."""
        self.lost = True
        while self._callbacks:
            yield self._callbacks.popitem()[0]


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for the next thing read, and one for what is written to be taken."""

    bounds: Bounds
    ending = False  # the server takes no further connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, and must say what it wants in time."""
        super().connection_made(transport)
        self.connection = Connection()
        self.timer: asyncio.TimerHandle | None = None
        self.timer_at = self.write_deadline = NEVER
        self.wait(self.bounds.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was sent away."""
        super().connection_lost(exc)
        if self.timer is not None:
            self.timer.cancel()
        self.lose()

    def lose(self) -> None:
        """Tell those who want to know that the client has gone."""
        for callback in self.connection.lose():
            try:
                callback()
            except Exception:
                self.logger.exception("an error in what is done when a client goes")

    def overdue(self) -> None:
        """What was waited for has not come."""
        self.close()

    def shutdown(self) -> None:
        """The server ends: a request that is on its way is answered, and none after it."""
        self.ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.wait(ENDING_S)
        else:
            self.cycle.keep_alive = False

    def wait(self, seconds: float) -> None:
        """Something must come within so many seconds."""
        self.read_deadline = deadline = self.loop.time() + seconds
        if deadline < self.timer_at:
            self._arm()

    def _arm(self) -> None:
        """Let the timer go off at the nearest deadline, or before."""
        deadline = min(self.read_deadline, self.write_deadline)
        if deadline < self.timer_at:
            if self.timer is not None:
                self.timer.cancel()
            self.timer, self.timer_at = self.loop.call_at(deadline, self._look), deadline

    def _look(self) -> None:
        """Is a deadline over?  It may have moved on since the timer was set."""
        self.timer, self.timer_at = None, NEVER
        now = self.loop.time()
        if self.write_deadline <= now:
            self.bounds.refused("send-timeout")
            self.transport.abort()
            return
        if self.read_deadline <= now:
            self.read_deadline = NEVER
            self.overdue()
        self._arm()

    def close(self) -> None:
        """Close when what is written has been taken, for which there is a deadline too."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.write_deadline = min(self.write_deadline, self.loop.time() + self.bounds.send_timeout_s)
            self._arm()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        super().pause_writing()
        self.write_deadline = self.loop.time() + self.bounds.send_timeout_s
        self._arm()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self.write_deadline = NEVER


def in_one_write(cycle: RequestResponseCycle) -> Callable[[ASGISendEvent], Awaitable[None]]:
    """The cycle's send, with head and body of an answer of known length in one write: each is a system call."""

    async def send(message: ASGISendEvent) -> None:
        headers = message["headers"] if message["type"] == "http.response.start" else ()
        # An answer to HEAD has no body that its head could wait for.
        if cycle.scope["method"] != "HEAD" and any(name == b"content-length" for name, _ in headers):
            cycle.transport = HeadFirst(cycle)  # type: ignore[assignment]
        await cycle.send(message)

    return send


class HeadFirst:
    """Stands for the transport of one answer until its head has been written, which waits for the body."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.cycle, self.transport, self.head = cycle, cycle.transport, b""

    def write(self, data: bytes) -> None:
        """Keep the head, or write it with the body."""
        if self.head:
            self.cycle.transport = self.transport
            self.transport.write(self.head + data)
        else:
            self.head = data

    def close(self) -> None:
        """Close the connection."""
        self.transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closing."""
        return self.transport.is_closing()
