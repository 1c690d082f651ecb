"""Clients that go, connections that are too many, applications that fail, servers that end."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from wire_service import DEADLINE_S, GET, Service, assert_problem, eventually, everything, running, until

from service.connection import Connection
from service.protocol import SPARE_CONNECTIONS


def test_an_application_learns_that_its_client_has_gone() -> None:
    with running() as service:
        with service.connect(GET.replace(b"/ ", b"/slow ")):
            assert service.entered.wait(DEADLINE_S)
            assert not service.lost.is_set()
        assert service.lost.wait(DEADLINE_S)


def test_a_client_that_shuts_its_sending_side_counts_as_gone() -> None:
    with running() as service, service.connect(GET.replace(b"/ ", b"/slow ")) as connection:
        assert service.entered.wait(DEADLINE_S)
        connection.shutdown(socket.SHUT_WR)
        assert service.lost.wait(DEADLINE_S)
        assert everything(connection) == b""


@pytest.mark.usefixtures("logs")
def test_one_that_fails_at_it_keeps_nobody_from_learning(caplog: pytest.LogCaptureFixture) -> None:
    with running() as service:
        with service.connect(GET.replace(b"/ ", b"/angry ")):
            assert service.entered.wait(DEADLINE_S)
        assert service.lost.wait(DEADLINE_S)
        eventually(lambda: not service.entered.is_set())
    assert "ZeroDivisionError" in caplog.text


def test_a_callback_is_called_once_and_not_after_it_was_undone() -> None:
    connection, called = Connection(), list[str]()
    connection.on_lost(lambda: called.append("a"))
    undo = connection.on_lost(lambda: called.append("b"))
    undo()
    undo()
    for _ in range(2):
        for callback in connection.lose():
            callback()
    assert called == ["a"]
    connection.on_lost(lambda: called.append("late"))
    assert called == ["a", "late"]


def test_a_callback_may_undo_another() -> None:
    connection, called = Connection(), list[str]()
    undo: dict[str, Callable[[], object]] = {}
    for name, other in (("a", "b"), ("b", "a")):

        def callback(name: str = name, other: str = other) -> None:
            called.append(name)
            undo[other]()

        undo[name] = connection.on_lost(callback)
    for callback_ in connection.lose():
        callback_()
    assert len(called) == 1


def test_one_connection_too_many_is_told_so_and_liveness_is_answered() -> None:
    with running(max_connections=3) as service, ExitStack() as stack:
        kept = [stack.enter_context(service.connect(GET)) for _ in range(3)]
        for connection in kept:
            until(connection, b"\r\n\r\n/")
        content = assert_problem(service.ask(GET), 503, "too-many-connections")
        assert "at most 3 connections" in content["detail"]
        answer = service.get("/livez?full")
        assert answer.text == "/livez"
        assert answer.headers["connection"] == "close"
        kept[0].sendall(GET)
        until(kept[0], b"\r\n\r\n/")
        kept[1].close()
        with httpx.Client(base_url=f"http://127.0.0.1:{service.port}") as client:
            while client.get("/").status_code != 200:
                pass


def test_far_too_many_connections_are_closed_before_they_ask() -> None:
    with running(max_connections=1) as service, ExitStack() as stack:
        for _ in range(1 + SPARE_CONNECTIONS):
            stack.enter_context(service.connect())
        eventually(lambda: len(service.server.server_state.connections) == 1 + SPARE_CONNECTIONS)
        assert_problem(service.ask(b""), 503, "too-many-connections")


@pytest.mark.usefixtures("logs")
def test_an_application_that_fails_is_answered_for_and_tells_nothing(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (b"/broken", b"/silent"):
        caplog.clear()
        answer = service.ask(GET.replace(b"/ ", path + b" "))
        assert "secret" not in str(assert_problem(answer, 500, "internal-error"))
        (record,) = caplog.records
        assert record.levelno == logging.ERROR


@pytest.mark.usefixtures("logs")
def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(service: Service) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        service.get("/cut")
    with service.connect(b"GET /cut HTTP/1.0\r\n\r\n") as connection, pytest.raises(ConnectionResetError):
        everything(connection)  # whose end would be the answer's


def test_a_server_that_ends_answers_what_it_has_begun() -> None:
    with running() as service, service.connect(GET.replace(b"/ ", b"/slow ")) as connection:
        assert service.entered.wait(DEADLINE_S)
        half_open = service.connect(GET[:-1])
        service.server.should_exit = True
        assert everything(half_open) == b""
        half_open.close()
        service.go.set()
        answer = everything(connection)
        assert answer.endswith(b"slow")
        assert b"connection: close" in answer


@pytest.mark.usefixtures("logs")
def test_what_was_not_answered_in_the_grace_is_told_to_go_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    with running(grace_s=1) as service, service.connect(GET.replace(b"/ ", b"/slow ")) as connection:
        assert service.entered.wait(DEADLINE_S)
        service.server.should_exit = True
        assert_problem(everything(connection), 503, "not-ready")
    assert "Traceback" not in caplog.text
