"""Bodies: what is read, what is refused, and how that is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running import HEAD, Running, assert_problem, running

from service.middleware import MAX_BODY_BYTES


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


MALFORMED = {
    "empty": (b"", 400, None),
    "blank": (b"  ", 400, None),
    "cut off": (b'{"n": 1', 400, None),
    "trailing": (b'{"n": 1} x', 400, None),
    "trailing comma": (b'{"n": 1,}', 400, None),
    "single quotes": (b"{'n': 1}", 400, None),
    "not utf-8": (b'{"n": "\xff"}', 400, None),
    "utf-16": ('{"n": 1}'.encode("utf-16"), 400, None),
    "byte order mark": (b'\xef\xbb\xbf{"n": 1}', 400, None),
    "NUL": (b"\x00", 400, None),
    "form": (b"n=1", 400, None),
    "array": (b"[1]", 400, None),
    "string": (b'"n"', 400, None),
    "number": (b"3", 400, None),
    "null": (b"null", 400, None),
    "NaN": (b'{"n": NaN}', 400, None),
    "Infinity": (b'{"n": Infinity}', 400, None),
    "minus Infinity": (b'{"seed": -Infinity}', 400, None),
    "duplicate": (b'{"n": 1, "n": 2}', 400, "n"),
    "duplicate, nested": (b'{"n": {"x": 1, "x": 2}}', 400, None),
    "deep": (b"[" * 60_000, 400, None),
    "deep in n": (b'{"n": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, None),
    "a number of many digits": (b'{"n": ' + b"9" * 5000 + b"}", 400, None),
    "zero": (b'{"n": 0}', 422, "n"),
    "negative": (b'{"n": -1}', 422, "n"),
    "one too many": (b'{"n": 10001}', 422, "n"),
    "a temperature of nothing": (b'{"mode": "sample", "temperature": 0}', 422, "temperature"),
    "a mode of its own": (b'{"mode": "beam"}', 422, "mode"),
    "a number for a text": (b'{"prefix": 3}', 422, "prefix"),
    "half a surrogate pair in a text": (b'{"prefix": "\\ud800"}', 422, "prefix"),
    "a word for a truth": (b'{"unique": "yes"}', 422, "unique"),
    "a number for a truth": (b'{"novel": 1}', 422, "novel"),
    "64 bits": (b'{"n": 18446744073709551616}', 422, "n"),
    "1000 digits": (b'{"n": ' + b"9" * 1000 + b"}", 422, "n"),
    "beyond floating point": (b'{"n": 1e999}', 422, "n"),
    "whole float": (b'{"n": 2.0}', 422, "n"),
    "exponent": (b'{"n": 1e1}', 422, "n"),
    "true": (b'{"n": true}', 422, "n"),
    "numeral": (b'{"n": "3"}', 422, "n"),
    "lone surrogate": (b'{"n": "\\ud800"}', 422, "n"),
    "lone surrogate as a key": (b'{"\\udfff": 1}', 422, None),
    "null n": (b'{"n": null}', 422, "n"),
    "array n": (b'{"n": [1]}', 422, "n"),
    "object n": (b'{"n": {}}', 422, "n"),
    "negative seed": (b'{"seed": -1}', 422, "seed"),
    "2^53": (b'{"seed": 9007199254740992}', 422, "seed"),
    "false seed": (b'{"seed": false}', 422, "seed"),
    "unknown key": (b'{"count": 1}', 422, None),
    "upper case": (b'{"N": 1}', 422, None),
    "prototype": (b'{"__proto__": {"n": 1}}', 422, None),
}


@pytest.mark.parametrize(("body", "status", "field"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_the_clients_error(service: Running, body: bytes, status: int, field: str | None) -> None:
    answer = service.client.post("/v1/generate", content=body, headers={"Content-Type": "application/json"})
    content = assert_problem(answer, status, "malformed-body" if status == 400 else "invalid-field")
    if field is not None:
        (error,) = content["errors"]
        assert error["field"] == field
        assert error["bound"]
        assert field in content["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_must_be_declared_as_json(service: Running, media_type: str) -> None:
    answer = service.client.post("/v1/generate", content=b"{}", headers={"Content-Type": media_type})
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("parameter", ["; charset=utf-8", ';Charset="UTF-8"', "; profile=x", ";"])
def test_a_charset_beside_the_media_type_may_be_that_of_json(service: Running, parameter: str) -> None:
    headers = {"Content-Type": f"Application/JSON{parameter}"}
    assert service.client.post("/v1/generate", content=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", "", "utf-8; charset=utf-16"])
def test_another_charset_is_refused_whatever_the_body_is(service: Running, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = service.client.post("/v1/generate", content=b"{}", headers=headers)
    assert "utf-8" in assert_problem(answer, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x-own"])
def test_a_coded_body_is_refused_before_it_is_read(service: Running, coding: str) -> None:
    with service.raw(f"{HEAD}Content-Encoding: {coding}\nContent-Length: 1000") as connection:
        head, _, body = connection.recv(4096).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 415 ")
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert b"Content-Encoding must be identity" in body


def test_the_coding_that_is_none_is_accepted(service: Running) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "Identity"}
    assert service.client.post("/v1/generate", content=b"{}", headers=headers).status_code == 200


def test_two_media_types_are_none(service: Running) -> None:
    headers = [("Content-Type", "text/plain"), ("Content-Type", "application/json")]
    answer = service.client.post("/v1/generate", content=b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(service: Running) -> None:
    headers = {"Content-Type": "application/json"}
    body = b"{}".ljust(MAX_BODY_BYTES)
    assert service.client.post("/v1/generate", content=body, headers=headers).status_code == 200
    answer = service.client.post("/v1/generate", content=body + b" ", headers=headers)
    assert_problem(answer, 413, "body-too-large")


def test_a_declared_length_is_refused_before_the_body_is_sent(service: Running) -> None:
    with service.raw(f"{HEAD}Content-Length: 200000000") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_refused_while_it_is_still_arriving(service: Running) -> None:
    chunk = b"%x\r\n" % 8192 + b" " * 8192 + b"\r\n"
    with service.raw(f"{HEAD}Transfer-Encoding: chunked", chunk * 9) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_never_ends_is_given_up() -> None:
    with running(body_timeout_s=0.05) as service, service.raw(f"{HEAD}Content-Length: 10", b"{") as connection:
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
