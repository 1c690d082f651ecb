"""Plain ASGI middleware: limits on a request's body, and connections closed while the service drains.

Never BaseHTTPMiddleware, which costs a millisecond a request.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ProblemError

MAX_BODY_BYTES = 64 * 1024


class BodyLimit:
    """Refuses a body of more than max_bytes while it arrives, and one that takes longer than timeout_s."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app, self.max_bytes, self.timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a receive that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self._declared(scope) > self.max_bytes:
            await self._too_large().response()(scope, receive, send)
        else:
            await self.app(scope, self._counting(receive), send)

    def _declared(self, scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "")
        return int(length) if length.isdecimal() else 0

    def _counting(self, receive: Receive) -> Receive:
        arrived, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self.timeout_s

        async def counted() -> Message:
            nonlocal arrived, complete
            if complete:  # what follows tells that the client has gone, which may take as long as it likes
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                detail = f"the body must arrive within {self.timeout_s:g} s"
                raise ProblemError("body-timeout", detail, headers={"Connection": "close"}) from None
            arrived += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if arrived > self.max_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ProblemError:
        return ProblemError("body-too-large", f"the body must have at most {self.max_bytes} bytes")


class CloseWhileDraining:
    """Ends each connection with its next answer once the service drains.

    A client that keeps its connection would otherwise send a request just when the process closes it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with a send that adds ``Connection: close``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["app"].state.serving.draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, closing)
