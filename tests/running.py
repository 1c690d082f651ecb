"""The application behind a real uvicorn on a thread, with an engine that the test holds in its hand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fake_engine import DEADLINE_S, FakeEngine, fake_artifact

from model.artifact import Artifact
from service.app import create_app
from service.server import Server, listen
from service.settings import Settings

HEAD = "POST /v1/generate HTTP/1.1\nHost: x\nContent-Type: application/json\n"


class Running:
    """A server on a thread of its own."""

    def __init__(self, engine: FakeEngine, artifact: Artifact, **settings: Any) -> None:
        self.engine = engine
        fast: dict[str, Any] = {"model": Path("names"), "port": 0, "drain_delay_s": 0, "drain_grace_s": 5}
        self.settings = Settings(**(fast | settings))
        self.app = create_app(
            self.settings, first=([artifact], artifact.name), open_engine=lambda artifact, threads: engine
        )
        self.server = Server(self.app, self.settings)
        self.listener = listen(self.settings.host, 0)
        self.port = self.listener.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=DEADLINE_S)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def post(self, **body: object) -> httpx.Response:
        return self.client.post("/v1/generate", json=body)

    def ask(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def raw(self, head: str, body: bytes = b"") -> socket.socket:
        """A connection on which a request has been sent, as it is."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection

    @property
    def queued(self) -> int:
        return int(self.app.state.serving.batcher.queued)

    def on_loop(self, call: Callable[..., object], *arguments: object) -> None:
        """Have the server's event loop call something."""
        self.server.servers[0].get_loop().call_soon_threadsafe(call, *arguments)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.005)


@contextmanager
def running(engine: FakeEngine | None = None, artifact: Artifact | None = None, **settings: Any) -> Iterator[Running]:
    service = Running(engine or FakeEngine(), artifact or fake_artifact(), **settings)
    service.thread.start()
    try:
        until(lambda: service.server.started)
        if service.engine.warm.is_set():
            until(lambda: service.client.get("/readyz").status_code == 200)
        yield service
    finally:
        service.engine.warm.set()
        service.engine.open()
        service.client.close()
        service.server.should_exit = True
        service.thread.join(DEADLINE_S)
        assert not service.thread.is_alive()


def assert_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    content: dict[str, Any] = answer.json()
    assert content["type"] == f"/docs#{kind}"
    assert content["status"] == status
    assert content["title"]
    assert content["detail"]
    return content
