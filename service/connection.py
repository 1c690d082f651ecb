"""A connection in time: deadlines for what is read and for what is written, and who is told when its client goes.

A few numbers are kept of each connection, and one timer looks at them now and then: a request that comes and goes
whole sets none.  Written against the insides of uvicorn 0.54.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import logs

logger = logs.get_logger()

Send = Callable[[Any], Awaitable[None]]

CONNECTION = "charwgan.connection"  # in scope["extensions"]: the Connection that a request came by
NEVER = float("inf")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends nothing more, and says that this is not the end
ENDING_S = 1.0  # in which a request arrives that was sent before its client could know that the server ends


@dataclass(frozen=True)
class Bounds:
    """What a connection keeps to.

    refused: is told the kind of each problem that the wire finds by itself, and the status of its answer to that; 0 if
    it sends none.
    """

    header_timeout_s: float
    send_timeout_s: float
    max_connections: int
    refused: Callable[[str, int], object]


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
                logger.exception("an error in what is done when a client goes")

    def overdue(self) -> None:
        """What was waited for has not come."""
        self.close()

    def shutdown(self) -> None:
        """The server ends: a request that is on its way is answered, and one that its client may still send."""
        self.ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.idle()
        elif not self.cycle.response_started:  # its head will say that the connection closes, one that is sent did not
            self.cycle.keep_alive = False

    def idle(self) -> None:
        """Another request may come."""
        self.wait(ENDING_S if self.ending else self.timeout_keep_alive)

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
            self.bounds.refused("send-timeout", 0)
            self.reset()
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

    def cut(self, cycle: RequestResponseCycle) -> None:
        """Close in the middle of an answer, so that its reader can tell that it is not whole."""
        if cycle.scope["http_version"] == "1.0":  # where the end of the connection is the end of the answer
            self.reset()
        else:
            self.close()

    def reset(self) -> None:
        """End the connection at once; its reader gets an error, and not an end."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        super().pause_writing()
        self.write_deadline = self.loop.time() + self.bounds.send_timeout_s
        self._arm()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self.write_deadline = NEVER


def until_closed(cycle: RequestResponseCycle) -> Send:
    """The cycle's send for HTTP/1.0, which knows no chunks: what says no length ends with the connection."""

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            # Of this piece, for uvicorn to find that it fits.
            cycle.expected_content_length = len(message.get("body", b""))
        else:
            cycle.chunked_encoding = False
        await cycle.send(message)

    return send


def in_one_write(cycle: RequestResponseCycle) -> Send:
    """The cycle's send, with head and body of an answer of known length in one write: each is a system call."""
    head = b""  # that waits for the body

    async def send(message: Any) -> None:
        nonlocal head
        if message["type"] == "http.response.start":
            head = _head(cycle, message["status"], [*cycle.default_headers, *message["headers"]])
            if head:
                return
        elif head and not cycle.disconnected:
            body = message.get("body", b"")
            cycle.transport.write(head + body)
            cycle.expected_content_length -= len(body)
            head, message["body"] = b"", b""  # what follows is uvicorn's again: further pieces, or the end
        await cycle.send(message)

    return send


def _head(cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer whose body has a known length and follows at once; of any other b"": it is uvicorn's.

    Uvicorn searches each name and value for what may not stand there; here the line ends are counted instead.
    """
    length, closes, parts = -1, False, [STATUS_LINE[status]]
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"connection":
            closes = value == b"close"
        elif name == b"transfer-encoding":
            return b""
        parts += name, b": ", value, b"\r\n"
    head, lines = b"".join((*parts, b"\r\n")), len(headers) + 2
    known = length >= 0 and (cycle.keep_alive or closes) and cycle.scope["method"] != "HEAD"
    if not known or cycle.flow.write_paused or head.count(b"\n") != lines or head.count(b"\r") != lines:
        return b""
    cycle.response_started, cycle.waiting_for_100_continue = True, False
    cycle.keep_alive = cycle.keep_alive and not closes
    cycle.chunked_encoding, cycle.expected_content_length = False, length
    return head
