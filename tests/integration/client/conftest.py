"""A server that answers as the test says, and the two clients that call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from client_callers import Awaited, Blocking
from client_server import Answer, Asked, Open, Service


@pytest.fixture
def service() -> Iterator[Open]:
    """Starts a server that gives these answers."""
    running: list[Service] = []

    def start(*answers: Answer | Callable[[Asked], Answer], port: int = 0) -> Service:
        running.append(Service(*answers, port=port))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(params=[Blocking, Awaited], ids=["blocking", "async"])
def caller(request: pytest.FixtureRequest) -> Blocking:
    made = request.param()
    assert isinstance(made, Blocking)
    return made
