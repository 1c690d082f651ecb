"""A small application on the wire of the service, behind a real uvicorn on a thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn

from service.connection import CONNECTION, Connection
from service.protocol import make_protocol

DEADLINE_S = 10
HOST = b"Host: x\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST


class Service:
    """A server on a thread of its own.  kinds, statuses: what the wire has refused, and answered to that."""

    def __init__(self, loop: str = "auto", keep_alive_s: int = 30, grace_s: int = 5, **bounds: Any) -> None:
        wanted = {"header_timeout_s": 30.0, "send_timeout_s": 30.0, "max_connections": 1000} | bounds
        self.kinds, self.statuses = list[str](), list[int]()
        self.refused = threading.Event()
        self.go, self.entered, self.lost = threading.Event(), threading.Event(), threading.Event()
        self.paths: list[str] = []
        protocol = make_protocol(SimpleNamespace(**wanted), self.note)  # type: ignore[arg-type]
        config = uvicorn.Config(
            self.app,
            http=protocol,
            loop=loop,
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=grace_s,
        )
        self.server = uvicorn.Server(config)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def note(self, kind: str, status: int) -> None:
        self.kinds.append(kind)
        self.statuses.append(status)
        self.refused.set()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await getattr(self, scope["path"].strip("/") or "root", self.root)(scope, receive, send)

    async def root(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(send, scope["raw_path"])

    async def answer(self, send: Any, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """The headers that came, and the body."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.lost.set()
                return
            body, more = body + message["body"], message["more_body"]
        names = b",".join(sorted(name for name, _ in scope["headers"]))
        await self.answer(send, names + b"|" + body)

    async def unread(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers without a look at the body."""
        await self.answer(send, b"unread")

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers when the test lets it."""
        self.watch(scope)
        self.entered.set()
        while not self.go.is_set():
            await asyncio.sleep(0.002)
        await self.answer(send, b"slow")

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        """Has no end but that of its client."""
        connection = self.watch(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not connection.lost:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)

    async def pieces(self, scope: Any, receive: Any, send: Any) -> None:
        """A body of which nobody knows the length before it ends."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one,", b"two,", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def broken(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret")

    async def cut(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("secret")

    async def silent(self, scope: Any, receive: Any, send: Any) -> None:
        return

    async def angry(self, scope: Any, receive: Any, send: Any) -> None:
        """Fails when it learns that its client has gone, between two that do not."""
        connection = self.watch(scope)
        connection.on_lost(lambda: 1 // 0)
        connection.on_lost(self.entered.clear)
        self.entered.set()
        while not self.go.is_set():
            await asyncio.sleep(0.002)

    def watch(self, scope: Any) -> Connection:
        connection: Connection = scope["extensions"][CONNECTION]
        connection.on_lost(self.lost.set)
        return connection

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        connection.sendall(data)
        return connection

    def ask(self, data: bytes) -> bytes:
        """All that is answered until the connection is closed."""
        with self.connect(data) as connection:
            return everything(connection)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=DEADLINE_S)


def everything(connection: socket.socket) -> bytes:
    """What comes until the end of a connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def until(connection: socket.socket, end: bytes) -> bytes:
    """What comes until it ends so."""
    data = b""
    while not data.endswith(end):
        part = connection.recv(65536)
        assert part, data
        data += part
    return data


def eventually(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(DEADLINE_S * 500):
        if condition():
            return
        tick.wait(0.002)
    raise AssertionError("the condition was not met in time")


@contextmanager
def running(**bounds: Any) -> Iterator[Service]:
    service = Service(**bounds)
    service.thread.start()
    try:
        eventually(lambda: service.server.started)
        yield service
    finally:
        service.go.set()
        service.server.should_exit = True
        service.thread.join(DEADLINE_S)
        assert not service.thread.is_alive()


def assert_problem(answer: bytes, status: int, kind: str) -> dict[str, Any]:
    """That an answer is one problem, after which the connection ends."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status), answer
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"connection"] == b"close"
    assert int(headers[b"content-length"]) == len(body)
    assert b"date" in headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'")
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-request-id"]
    content: dict[str, Any] = json.loads(body)
    assert content["type"] == f"/docs#{kind}"
    assert content["status"] == status
    return content
