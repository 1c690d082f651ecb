"""What the wire may do: uvicorn's HTTP/1.1 protocol with deadlines, bounds and problems.

    a head that is too slow 408, too large 431, or no HTTP that can be read in one way only 400
    one connection too many 503, an application that fails 500, a reader that takes nothing for a while: cut off

Of each connection a few numbers are kept, and one timer looks at them now and then: a request that comes and goes
whole starts none.  Written against the insides of uvicorn 0.54.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service import logs
from service.connection import CONNECTION, NEVER, Bounds, TimedProtocol, in_one_write, until_closed
from service.errors import FORESEEN, ProblemError
from service.headers import OF_DATA, Headers, by_name, request_id

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from service.settings import Settings

logger = logs.get_logger()

ALWAYS_ANSWERED = b"/livez"  # also when there are too many connections: a busy process is not a dead one

HOSTS = {"1.0": (0, 1), "1.1": (1,)}  # how many Host headers a request of each version may have
WATCHED = frozenset({b"host", b"expect", b"transfer-encoding"})
MAX_HEAD_BYTES = 32 * 1024  # request line and headers; as many may stand between two pieces of a chunked body
MAX_PIPELINED = 64  # requests of one connection that wait for the one before them
SPARE_CONNECTIONS = 64  # beyond max_connections, to say so, and to answer /livez
LINGER_S = 2.0  # in which a client may read why it is refused, while what it still sends is dropped


class BoundedProtocol(TimedProtocol):
    """One connection.  Use what ``make_protocol`` makes of it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; one too many is told so."""
        super().connection_made(transport)
        self.extensions = {CONNECTION: self.connection}
        self.headers = []
        self.in_head = False  # of a request that has begun
        self.in_request = False  # head or body
        self.asks_upgrade = False  # the request asks for another protocol, which it does not get
        self.hosts = 0  # Host headers of the request
        self.unread = 0  # bytes that came since a head was complete, or a piece of a body came
        self.deaf = False  # nothing more is read of this connection
        self.crowded = len(self.connections) > self.bounds.max_connections
        if len(self.connections) > self.bounds.max_connections + SPARE_CONNECTIONS:
            self.refuse(self._crowd())
            self.transport.close()

    def overdue(self) -> None:
        """A head has not come in time, or nothing has."""
        if self.in_head and not self.deaf and not self.ending:
            detail = f"the head of a request must arrive within {self.bounds.header_timeout_s:g} s"
            self.refuse(ProblemError("header-timeout", detail))
        else:  # it said nothing, or is idle, or goes on sending what is already answered
            self.close()

    # Reading

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self.deaf:
            return
        self.unread += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                cause = error.__context__
                self.refuse(cause if isinstance(cause, ProblemError) else _malformed())
                return
        if not self.in_request:
            return
        if self.unread > MAX_HEAD_BYTES:
            self.refuse(_too_large() if self.in_head else _malformed())
        elif self.in_head and self.read_deadline == NEVER and not self.flow.read_paused:
            self.wait(self.bounds.header_timeout_s)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = self.extensions  # type: ignore[typeddict-item]
        self.in_head = self.in_request = self.connection.reading = True
        self.hosts = 0
        if self.cycle is not None:  # no longer idle; the first head has its time from the connection's opening
            self.read_deadline = NEVER

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is complete."""
        name = name.lower()
        if name in WATCHED:
            if name == b"host":
                self.hosts += 1
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            elif value.lower() != b"chunked" or self.parser.get_http_version() == "1.0":
                raise _malformed()
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is complete: its request is started, or queued behind the one before it."""
        if (
            self.hosts != 1
            or self.unread > MAX_HEAD_BYTES
            or self.pipeline
            or self.crowded
            or self.parser.get_http_version() != "1.1"
        ):
            self._check_head()
        self.asks_upgrade = self.parser.should_upgrade()
        if self.asks_upgrade:
            return
        super().on_headers_complete()
        if self.crowded or self.ending:
            self.cycle.keep_alive = False
        self.in_head, self.unread, self.read_deadline = False, 0, NEVER
        self.headers = []  # for what trails a chunked body, which is dropped: the application has its headers already

    def _check_head(self) -> None:
        """Refuse what another server might read in another way, and what is too much.  Raises ProblemError."""
        if self.hosts not in HOSTS.get(self.parser.get_http_version(), ()):
            raise _malformed()
        if self.unread > MAX_HEAD_BYTES:  # which counts what came behind the head, too
            size = len(self.url) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                raise _too_large()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _malformed()  # which is not sent: the connection ends with the answers before it
        if self.crowded:
            self.crowded = len(self.connections) > self.bounds.max_connections
            if self.crowded and self.url.partition(b"?")[0] != ALWAYS_ANSWERED:
                raise self._crowd()

    def _without_upgrade(self) -> bytes:
        """The head once more, for a new parser, without its wish for another protocol.

        A server may pass over that wish, but must then read the request's body, which the parser would not.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        if method == b"CONNECT":  # is nothing but such a wish
            return b"\0"
        headers = b"".join(b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, headers)

    def on_body(self, body: bytes) -> None:
        """A piece of a body has come."""
        self.unread, cycle = 0, self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """A request is read to its end."""
        if self.asks_upgrade:
            return
        self.in_request = self.connection.reading = False
        cycle = self.cycle
        if cycle.response_complete:  # sooner than the request was
            self.idle()
        else:
            cycle.more_body = False
            cycle.message_event.set()

    # Answering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.tasks.add(self.loop.create_task(self._answer(cycle, app)))

    async def _answer(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        try:
            await self._run(cycle, app)
        finally:
            cycle.on_response = _nothing
            # By itself: a callback for that would cost a turn of the loop.
            self.tasks.discard(asyncio.current_task(self.loop))

    async def _run(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Run the application for one request, and answer in its stead where it fails to."""
        kind, detail = "internal-error", "an error in the service, which its log describes"
        try:
            send = until_closed if cycle.scope["http_version"] == "1.0" else in_one_write
            await app(cycle.scope, cycle.receive, send(cycle))
            if not cycle.response_complete and not cycle.disconnected:
                logger.error("the application ended without an answer, or in the middle of one")
        except asyncio.CancelledError:
            kind, detail = "not-ready", "the service has ended: send the request to another"
        except Exception as error:
            if not isinstance(error, FORESEEN):  # which were counted where they were met, in the middle of a stream
                logger.error("an error in the application", exc_info=error)
        if not cycle.response_complete and not cycle.disconnected:
            await self._fail(cycle, ProblemError(kind, detail))

    async def _fail(self, cycle: RequestResponseCycle, problem: ProblemError) -> None:
        if cycle.response_started:
            self.cut(cycle)
            return
        status, headers, body = _last(problem, list(cycle.scope["headers"]))
        await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
        await cycle.send({"type": "http.response.body", "body": body, "more_body": False})

    def on_response_complete(self) -> None:
        """An answer is complete: the next request's turn, or time to be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.close()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not self.in_request:
            self.idle()
        elif self.in_head:
            if self.read_deadline == NEVER:
                self.wait(self.bounds.header_timeout_s)
        elif self.expect_100_continue:
            self._linger()  # whether its body follows, or another request, only the client knows
        else:
            self.wait(self.bounds.header_timeout_s)

    def _crowd(self) -> ProblemError:
        detail = f"at most {self.bounds.max_connections} connections may be open: use fewer, or try again later"
        return ProblemError("too-many-connections", detail, headers={"Retry-After": "1"})

    def refuse(self, problem: ProblemError) -> None:
        """Read nothing more, and answer the request that is being read with a problem, if it is its turn."""
        self.deaf = True
        cycle, asked = self.cycle, self.headers
        if cycle is not None and (not self.in_head or not cycle.response_complete):
            cycle.keep_alive = False
            if self.in_head or self.pipeline or cycle.response_started:
                self.bounds.refused(problem.kind, 0)
                if not (self.in_head or self.pipeline):  # those before it get their answers
                    self.cut(cycle)
                return
            cycle.disconnected, asked = True, list(cycle.scope["headers"])
            cycle.message_event.set()
        self.lose()
        status, headers, body = _last(problem, asked)
        self.bounds.refused(problem.kind, status)
        head = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            head += name, b": ", value, b"\r\n"
        self.transport.write(b"".join((*head, b"\r\n", body)))
        self._linger()

    def _linger(self) -> None:
        """Close in a moment: closed at once, with bytes still to come, a client may lose what it was sent."""
        self.deaf = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.wait(min(LINGER_S, self.bounds.header_timeout_s))


def make_protocol(settings: Settings, refused: Callable[[str, int], object]) -> type[BoundedProtocol]:
    """The protocol to give to uvicorn.Config(http=...).

    refused: as in Bounds; beside the problems that never reach the application there is "send-timeout".
    """

    class ConfiguredProtocol(BoundedProtocol):
        bounds = Bounds(settings.header_timeout_s, settings.send_timeout_s, settings.max_connections, refused)

    return ConfiguredProtocol


def _nothing() -> None:
    """What an answer calls when it is over, and its connection has gone on."""


def _last(problem: ProblemError, asked: Headers) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an answer with which the connection ends.  asked: the request's headers."""
    response = problem.response()
    own = (b"x-request-id", request_id(by_name(asked)))
    return response.status_code, [*response.raw_headers, *OF_DATA, own, (b"connection", b"close")], bytes(response.body)


def _malformed() -> ProblemError:
    return ProblemError("malformed-request", "the request is no HTTP/1.1 that can be read in one way only")


def _too_large() -> ProblemError:
    detail = f"the request line and headers must have at most {MAX_HEAD_BYTES} bytes together"
    return ProblemError("headers-too-large", detail)
