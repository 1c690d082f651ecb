"""What is no HTTP, could be read in two ways, or is too large, and what its answer says."""

from __future__ import annotations

import re
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from wire_service import DEADLINE_S, GET, HOST, POST, Service, assert_problem, everything, running, until

from service.protocol import MAX_HEAD_BYTES

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


@pytest.mark.parametrize(
    ("given", "kept"), [(b"mine-1", True), (b"a b", False), (b"x" * 129, False), (b"1\r\nX-Request-Id: 2", False)]
)
def test_a_refused_request_keeps_its_id_if_it_has_one(service: Service, given: bytes, kept: bool) -> None:
    own = b"X-Request-Id: %s\r\n" % given
    for request in (b"GET / HTTP/1.1\r\n" + own + b"\r\n", POST + own + CHUNKED + b"\r\nzz\r\n"):
        answer = service.ask(request)
        assert_problem(answer, 400, "malformed-request")
        assert (b"x-request-id: " + given + b"\r\n" in answer) == kept


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
