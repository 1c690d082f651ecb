"""Plain ASGI around the routes: what every answer carries, who may ask, how much may arrive, the way past the router.

Never BaseHTTPMiddleware, which costs a millisecond a request.  From the outside in:

    Envelope    request id, trace, headers, figures, log line; closes connections while the service drains
    Guard       a key, where keys are needed
    BodyLimit   the size of a body, and the time in which it must arrive
    Straight    hands the busy endpoints their requests
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs
from service.connection import CONNECTION
from service.errors import FORESEEN, ProblemError, as_problem, refuse
from service.headers import ALWAYS, OF_DATA, by_name, request_id
from service.metrics import METHODS
from service.security import CHALLENGE, Gate
from service.tracing import parse_headers

if TYPE_CHECKING:
    from service.serving import Serving

logger, access = logs.get_logger(), logs.get_logger("charwgan.access")

MAX_BODY_BYTES = 64 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]
# Whose answers no cache may keep, though they are no problems.
DATA_PATHS = ("/v1/", "/admin/", "/metrics", "/livez", "/readyz", "/startupz", "/version")


class Envelope:
    """What every answer carries, and what is counted, traced and logged of it."""

    def __init__(self, app: ASGIApp, access_log: bool) -> None:
        self.app, self.access_log = app, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a send that adds headers and takes the time."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        serving: Serving = scope["app"].state.serving
        method = scope["method"]
        if method == "HEAD":  # is answered like GET; that no body follows is the server's affair
            scope = {**scope, "method": "GET"}
        started, status = perf_counter(), 0
        first_byte_s: float | None = None  # unless a body was sent
        scope["charwgan.given"] = given = by_name(scope["headers"])
        own_id, trace = request_id(given), parse_headers(given)
        token = logs.bind(own_id.decode(), trace.trace_id if trace is not None else None)

        async def wrapped(message: Message) -> None:
            nonlocal status, first_byte_s
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = [*message["headers"], (b"x-request-id", own_id)]
                headers += OF_DATA if status >= 400 or scope["path"].startswith(DATA_PATHS) else ALWAYS
                headers += scope.get("charwgan.headers", ())
                if onward is not None:
                    headers += onward.headers()
                if serving.draining:
                    # A client that keeps its connection would send a request just when the process closes it.
                    headers.append((b"connection", b"close"))
            elif first_byte_s is None:
                first_byte_s = perf_counter() - started
            await send(message)

        with serving.tracer.span("charwgan.request", trace) as span:
            onward = span.traceparent or (trace and trace.child())
            scope["charwgan.span"] = span
            try:
                await self.app(scope, receive, wrapped)
            finally:
                seconds, route = perf_counter() - started, _route(scope)
                serving.metrics.observe_request(route, method, status, seconds, first_byte_s)
                span.set(route=route, status=status)
                if self.access_log:
                    told = method if method in METHODS else "other"
                    access.info("request", method=told, route=route, status=status, seconds=round(seconds, 6))
                logs.unbind(token)


def _route(scope: Scope) -> str:
    """The pattern of the path and not the path itself, of which there is no end."""
    route = scope.get("charwgan.route") or getattr(scope.get("route"), "path", None)
    return route if isinstance(route, str) else "other"


class Guard:
    """Lets a request pass if its path needs no key, or if it brings one."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app, self.gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with the name of its key, or answer 401."""
        if scope["type"] != "http" or not self.gate.needed(scope["path"]):
            await self.app(scope, receive, send)
            return
        given = scope["charwgan.given"].get(b"authorization")
        name = self.gate.identify(given)
        if name is None:
            detail = "a key is needed" if given is None else "the key is not known"
            problem = ProblemError("unauthorized", f"{detail}: say Authorization: Bearer KEY", headers=CHALLENGE)
            await refuse(scope, problem)(scope, receive, send)
            return
        scope["charwgan.key"] = name
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuses a body of more than max_bytes while it arrives, and one that takes longer than timeout_s."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app, self.max_bytes, self.timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a receive that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._declared(scope) > self.max_bytes:
            await refuse(scope, self._too_large())(scope, receive, send)
        else:
            await self.app(scope, self._counting(scope, receive), send)

    def _declared(self, scope: Scope) -> int:
        length = scope["charwgan.given"].get(b"content-length", b"")
        return int(length) if length.isdigit() else 0

    def _counting(self, scope: Scope, receive: Receive) -> Receive:
        arrived, complete, deadline = 0, False, None
        connection = scope.get("extensions", {}).get(CONNECTION)

        async def counted() -> Message:
            nonlocal arrived, complete, deadline
            if complete:  # what follows tells that the client has gone, which may take as long as it likes
                return await receive()
            if connection is not None and not connection.reading:  # what is there already needs no timer
                message = await receive()
            else:
                deadline = deadline or asyncio.get_running_loop().time() + self.timeout_s
                message = await self._in_time(receive, deadline)
            arrived += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if arrived > self.max_bytes:
                raise self._too_large()
            return message

        return counted

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError:
            detail = f"the body must arrive within {self.timeout_s:g} s"
            raise ProblemError("body-timeout", detail, headers={"Connection": "close"}) from None

    def _too_large(self) -> ProblemError:
        # The rest of the body is not read, so that the connection is of no further use.
        detail = f"the body must have at most {self.max_bytes} bytes"
        return ProblemError("body-too-large", detail, headers={"Connection": "close"})


class Straight:
    """Hands the busy endpoints their requests: FastAPI's routing and injection cost more than they do.

    endpoints: by method and path.  They stand among the application's routes as well, for its description.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self.app, self.endpoints = app, endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        endpoint = self.endpoints.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        scope["charwgan.route"] = scope["path"]
        try:
            response = await endpoint(Request(scope, receive))
        except FORESEEN as error:
            response = refuse(scope, as_problem(error))
        except Exception as error:
            logger.exception("an error in the service")
            response = refuse(scope, as_problem(error))
        await response(scope, receive, send)
