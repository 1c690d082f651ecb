"""The wire under a real uvicorn, with a small application: what is answered, refused and cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.connection import CONNECTION, Connection
from service.protocol import MAX_HEAD_BYTES, MAX_PIPELINED, SPARE_CONNECTIONS, make_protocol

DEADLINE_S = 10
HOST = b"Host: x\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + HOST


class Service:
    """A server on a thread of its own.  kinds: what the wire has refused."""

    def __init__(self, loop: str = "auto", keep_alive_s: int = 30, grace_s: int = 5, **bounds: Any) -> None:
        wanted = {"header_timeout_s": 30.0, "send_timeout_s": 30.0, "max_connections": 1000} | bounds
        self.kinds: list[str] = []
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

    def note(self, kind: str) -> None:
        self.kinds.append(kind)
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


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as service:
        yield service


@pytest.fixture
def logs() -> None:
    """The test expects something in the log."""


@pytest.fixture(autouse=True)
def _nothing_is_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING)
    yield
    if "logs" not in request.fixturenames:
        assert [record.getMessage() for record in caplog.get_records("call")] == []


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
    content: dict[str, Any] = json.loads(body)
    assert content["type"] == f"/docs#{kind}"
    assert content["status"] == status
    return content


# What goes on as ever


def test_a_connection_is_kept_for_further_requests(service: Service) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}") as client:
        before = len(service.server.server_state.connections)
        for number in range(20):
            assert client.get(f"/{number}").text == f"/{number}"
            assert client.post("/echo", content=b"body").text.endswith("|body")
        assert len(service.server.server_state.connections) <= before + 1


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    paths = [b"/%d" % number for number in range(MAX_PIPELINED)]
    requests = b"".join(b"GET %s HTTP/1.1\r\n%s\r\n" % (path, HOST) for path in paths)
    with service.connect(requests) as connection:
        answer = until(connection, paths[-1])
    assert re.findall(rb"\r\n\r\n(/\d+)", answer) == paths


def test_more_pipelined_requests_than_may_wait_end_the_connection() -> None:
    with running() as service:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n%s\r\n" % (number, HOST) for number in range(3 * MAX_PIPELINED))
        answer = service.ask(requests)
        paths = re.findall(rb"\r\n\r\n/(\d+)", answer)
        assert [int(path) for path in paths] == list(range(MAX_PIPELINED + 1))
        assert answer.count(b"connection: close") == 1


def test_a_head_may_come_byte_by_byte(service: Service) -> None:
    with service.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in GET:
                connection.sendall(bytes([byte]))
            assert until(connection, b"\r\n\r\n/").startswith(b"HTTP/1.1 200 ")


def test_a_body_may_come_in_pieces(service: Service) -> None:
    with service.connect(POST + b"Content-Length: 10\r\n\r\nhello") as connection:
        connection.sendall(b"world" + GET)
        answer = until(connection, b"\r\n\r\n/")
    assert b"|helloworld" in answer


def test_a_body_may_be_larger_than_a_head(service: Service) -> None:
    body = b"x" * (10 * MAX_HEAD_BYTES)
    answer = service.ask(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.endswith(b"|" + body)
    chunks = b"".join(b"%x;why=not\r\n%s\r\n" % (1000, b"y" * 1000) for _ in range(500))
    answer = service.ask(POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert answer.endswith(b"|" + b"y" * 500_000)


def test_expectations_are_answered(service: Service) -> None:
    with service.connect(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n") as connection:
        until(connection, b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"hello" + GET)
        assert b"|hello" in until(connection, b"\r\n\r\n/")


def test_a_client_that_did_not_get_to_send_its_body_may_not_go_on(service: Service) -> None:
    # Whether what follows is the body or another request could not be told.
    answer = service.ask(b"POST /unread HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert answer.endswith(b"unread")


def test_the_rest_of_a_body_is_read_after_its_answer(service: Service) -> None:
    with service.connect(b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n") as connection:
        until(connection, b"unread")
        connection.sendall(b"x" * 100_000 + GET)
        assert b"HTTP/1.1 200 " in until(connection, b"\r\n\r\n/")


def test_http_1_0_is_answered_without_a_host(service: Service) -> None:
    assert service.ask(b"GET /a HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n/a")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_the_wish_for_another_protocol_is_passed_over(service: Service, protocol: bytes) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMAAABk\r\n" % protocol
    request = POST + upgrade + b"Content-Length: 5\r\n\r\n"
    with service.connect(request + b"hello" + request) as connection:
        assert b"|hello" in until(connection, b"|hello")
        connection.sendall(b"again" + GET)
        answer = until(connection, b"\r\n\r\n/")
    assert b"|again" in answer
    assert b"connection,content-length,host,http2-settings|" in answer


def test_trailers_are_no_headers(service: Service) -> None:
    trailed = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    with service.connect(POST + trailed + GET) as connection:
        answer = until(connection, b"\r\n\r\n/")
    assert b"\r\n\r\nhost,transfer-encoding|hello" in answer


# What is no HTTP, or could be read in two ways

CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED = {
    "TLS": bytes.fromhex("16030100f8010000f40303") + b"\x8a" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "NULs": bytes(100),
    "garbage": b"\xff\xfe\xfd" * 50,
    "letters": b"hello world\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO x\r\n",
    "lower case": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\x00c\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n" + HOST + b"A\x00: b\r\n\r\n",
    "a name with a space": b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n" + HOST + b": b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
    "a folded first header": b"GET / HTTP/1.1\r\n " + HOST + b"\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "an endless length": POST + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "an empty length": POST + b"Content-Length:\r\n\r\nhello",
    "chunks twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\nhello",
    "zipped chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a disguised coding": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "a chunk of hexadecimal form": POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk with a space": POST + CHUNKED + b"\r\n5 \r\nhello\r\n0\r\n\r\n",
    "a chunk without end": POST + CHUNKED + b"\r\n5\r\nhelloworld\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": POST + CHUNKED + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a chunk ended by a line feed": POST + CHUNKED + b"\r\n5;a\nhello\r\n0\r\n\r\n",
    "an endless chunk extension": POST + CHUNKED + b"\r\n5;" + b"x" * (10 * MAX_HEAD_BYTES),
    "endless trailers": POST + CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * (5 * MAX_HEAD_BYTES),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(service: Service, request_: bytes) -> None:
    content = assert_problem(service.ask(request_), 400, "malformed-request")
    assert content["detail"] == "the request is no HTTP/1.1 that can be read in one way only"


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_follows_a_refused_request_is_no_request(service: Service, request_: bytes) -> None:
    service.paths.clear()
    answer = service.ask(request_ + b"\r\n\r\nGET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
    assert len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
    assert "/smuggled" not in service.paths


def test_a_client_that_speaks_tls_is_let_go(service: Service) -> None:
    context = ssl.create_default_context()
    with service.connect() as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_hostname="localhost")


def changed(original: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """A request in which some bytes are replaced, left out or doubled."""
    for place, data in changes:
        place %= len(original) + 1
        original = original[:place] + data + original[place + len(data) % 2 :]
    return original


CHANGES = st.lists(
    st.tuples(st.integers(0), st.binary(max_size=3) | st.sampled_from([b"\r\n", b": ", b" "])), max_size=4
)
NEARLY = st.builds(
    changed, st.sampled_from([GET, GET + GET, *REFUSED.values()]).filter(lambda r: len(r) < 1000), CHANGES
)


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=100) | NEARLY)
def test_no_bytes_are_an_error_of_the_server(service: Service, data: bytes) -> None:
    with service.connect(data) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert all(status in (b"200", b"400") for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)), answer


def test_a_head_of_the_largest_size_is_read_and_one_byte_more_is_not(service: Service) -> None:
    start, header = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", b"A: %s\r\n\r\n"
    room = MAX_HEAD_BYTES - len(start) - len(header % b"")
    assert service.ask(start + header % (b"b" * room)).startswith(b"HTTP/1.1 200 ")
    # The two line ends that are not counted, and the request line's other words, are as much.
    content = assert_problem(service.ask(start + header % (b"b" * (room + 30))), 431, "headers-too-large")
    assert str(MAX_HEAD_BYTES) in content["detail"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (2 * MAX_HEAD_BYTES),
        b"GET /" + b"a" * (2 * MAX_HEAD_BYTES) + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * (20 * MAX_HEAD_BYTES),
        b"GET / HTTP/1.1\r\n" + HOST + b"A" * (2 * MAX_HEAD_BYTES),
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * MAX_HEAD_BYTES + b"\r\n",
    ],
    ids=["target", "whole target", "value", "name", "headers", "whole headers"],
)
def test_a_head_that_is_too_large_is_refused_whether_or_not_it_ends(service: Service, head: bytes) -> None:
    assert_problem(service.ask(head), 431, "headers-too-large")
    with service.connect(GET) as connection:
        until(connection, b"\r\n\r\n/")
        connection.sendall(head)
        assert_problem(everything(connection), 431, "headers-too-large")


def test_an_answer_that_was_asked_for_before_comes_before_the_end(service: Service) -> None:
    with running() as service, service.connect(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n") as connection:
        assert service.entered.wait(DEADLINE_S)
        connection.sendall(b"\x00\x00\x00")
        assert service.refused.wait(DEADLINE_S)
        assert service.kinds == ["malformed-request"]
        service.go.set()
        answer = everything(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"slow")


def test_a_body_that_is_malformed_ends_the_request_that_waits_for_it(service: Service) -> None:
    service.lost.clear()
    with service.connect(POST + CHUNKED + b"\r\n1\r\na\r\n") as connection:
        connection.sendall(b"zz\r\n")
        assert_problem(everything(connection), 400, "malformed-request")
    assert service.lost.wait(DEADLINE_S)


# Deadlines


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
        assert service.kinds == ["send-timeout"]
        assert not everything(connection).endswith(b"\r\n0\r\n\r\n")  # which would end it


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


# Who has gone


def test_an_application_learns_that_its_client_has_gone() -> None:
    with running() as service:
        with service.connect(GET.replace(b"/ ", b"/slow ")):
            assert service.entered.wait(DEADLINE_S)
            assert not service.lost.is_set()
        assert service.lost.wait(DEADLINE_S)


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


# Too many


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


# Applications that fail


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
