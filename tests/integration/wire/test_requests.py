"""What the wire lets through: one request after another, in pieces, large, with odd wishes."""

from __future__ import annotations

import re
import socket

import httpx
import pytest
from wire_service import GET, HOST, POST, Service, running, until

from service.protocol import MAX_HEAD_BYTES, MAX_PIPELINED


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


def test_to_http_1_0_a_body_of_unknown_length_ends_with_the_connection(service: Service) -> None:
    head, _, body = service.ask(b"GET /pieces HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"one,two,three"
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head
    head, _, body = service.ask(b"HEAD /pieces HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert (head[:12], body) == (b"HTTP/1.1 200", b"")
    assert b"transfer-encoding" not in head.lower()


def test_http_1_1_gets_chunks_though_the_connection_closes(service: Service) -> None:
    answer = service.ask(b"GET /pieces HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert answer.endswith(b"\r\n\r\n4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n")


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
