"""Who is too slow, to send or to read, and who may take the time."""

from __future__ import annotations

import contextlib
import select
from contextlib import ExitStack

import pytest
from wire_service import DEADLINE_S, GET, HOST, POST, assert_problem, eventually, everything, running, until


def test_half_open_connections_are_closed_in_time_and_disturb_nobody() -> None:
    with running(header_timeout_s=1.5) as service, ExitStack() as stack:
        heads = [GET[: 1 + number % (len(GET) - 1)] for number in range(200)]
        half_open = [stack.enter_context(service.connect(head)) for head in heads]
        assert service.get("/livez").text == "/livez"
        for connection in half_open:
            content = assert_problem(everything(connection), 408, "header-timeout")
            assert "within 1.5 s" in content["detail"]
        assert service.get("/livez").text == "/livez"
        assert service.kinds == ["header-timeout"] * 200
        assert service.statuses == [408] * 200


def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    with running(header_timeout_s=0.3) as service:
        assert service.ask(b"") == b""
        assert service.ask(b"\r\n\r\n") == b""
        assert service.kinds == []


def test_drop_by_drop_is_not_in_time() -> None:
    with running(header_timeout_s=0.3) as service, service.connect(b"GET / HTTP/1.1\r\nA: ") as connection:
        connection.setblocking(False)
        answer = b""
        while not answer:
            with contextlib.suppress(BlockingIOError):
                connection.send(b"a")
            readable, _, _ = select.select([connection], [], [], 0.01)
            if readable:
                answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_the_head_of_a_later_request_has_a_deadline_too() -> None:
    with running(header_timeout_s=0.3) as service, service.connect(GET) as connection:
        until(connection, b"\r\n\r\n/")
        connection.sendall(GET[:-1])
        assert_problem(everything(connection), 408, "header-timeout")


def test_a_half_sent_head_behind_a_slow_answer_ends_the_connection_after_it() -> None:
    slow = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
    with running(header_timeout_s=0.3) as service, service.connect(slow + GET[:-1]) as connection:
        assert service.refused.wait(DEADLINE_S)
        assert service.kinds == ["header-timeout"]
        service.go.set()
        assert everything(connection).endswith(b"slow")


def test_an_answer_that_takes_longer_than_a_head_may_is_given() -> None:
    with running(header_timeout_s=0.3) as service, service.connect(GET.replace(b"/ ", b"/slow ")) as connection:
        with service.connect() as other:  # whose deadline began later, and is over
            assert everything(other) == b""
        service.go.set()
        until(connection, b"slow")


def test_an_idle_connection_is_kept_longer_than_a_head_may_take_and_then_closed() -> None:
    with running(header_timeout_s=0.3, keep_alive_s=2) as service, service.connect(GET) as connection:
        until(connection, b"\r\n\r\n/")
        with service.connect() as other:
            assert everything(other) == b""
        connection.sendall(GET)
        assert everything(connection).endswith(b"\r\n\r\n/")


def test_a_body_that_nobody_waits_for_must_end_in_time() -> None:
    with running(header_timeout_s=0.3) as service:
        request = b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nhello"
        assert service.ask(request).endswith(b"unread")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reader_that_takes_nothing_is_cut_off_and_the_stream_ends(loop: str) -> None:
    with (
        running(send_timeout_s=0.2, loop=loop) as service,
        service.connect(GET.replace(b"/ ", b"/stream ")) as connection,
    ):
        assert service.lost.wait(DEADLINE_S)
        assert (service.kinds, service.statuses) == (["send-timeout"], [0])
        with pytest.raises(ConnectionResetError):  # and no end that it could take for the answer's
            everything(connection)


def test_a_reader_that_takes_its_time_but_takes_is_served() -> None:
    with running(send_timeout_s=3.0) as service, service.connect(GET.replace(b"/ ", b"/stream ")) as connection:
        read = 0
        while read < 50_000_000:
            read += len(connection.recv(1_000_000))
        assert not service.lost.is_set()


def test_what_was_answered_and_is_not_taken_does_not_hold_a_connection() -> None:
    with running(send_timeout_s=0.3, header_timeout_s=0.3) as service:
        body = b"x" * 10_000_000
        request = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        with service.connect(request + body):
            eventually(lambda: not service.server.server_state.connections)
            assert not service.server.server_state.connections
