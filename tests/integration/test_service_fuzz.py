"""Bodies that nobody foresaw: whatever is sent, the answer is one that is documented, and nothing of it is repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from running import Running, running

from service.errors import KINDS, MEDIA_TYPE

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "300"))
SECRET = "zq9"  # in every text that is sent, and in no word of the service
fuzzed = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

VALID: dict[str, dict[str, Any]] = {
    "/v1/generate": {
        "n": 3,
        "seed": 7,
        "first": 2,
        "model": "names",
        "mode": "sample",
        "temperature": 0.5,
        "label": None,
        "min_length": 1,
        "max_length": 9,
        "charset": "0123456789:",
        "prefix": "7",
        "pattern": "7:[0-9]+",
        "unique": True,
        "novel": False,
        "max_attempts": 50,
        "scores": True,
        "latents": True,
        "deadline_s": 5.0,
    },
    "/v1/score": {"texts": ["1:2", "x"], "model": "names", "deadline_s": 5.0},
    "/v1/interpolate": {
        "from": {"seed": 7, "first": 1},
        "to": {"latent": [0.5, -1.0]},
        "steps": 3,
        "model": None,
        "deadline_s": 5.0,
    },
}

TEXT = st.text(st.characters(codec=None), max_size=8).map(lambda text: text + SECRET)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 10**400, 1e308, 5e-324, -0.0]),
    st.floats(),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from(["seed", "n"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, valid: dict[str, Any]) -> dict[str, Any]:
    """A valid body of which some keys are left out, some values are others, and some keys are new."""
    names = draw(st.sets(st.sampled_from(sorted(valid))))
    content = {name: valid[name] for name in sorted(names)}
    for name in draw(st.lists(st.sampled_from(sorted(valid)), max_size=3)):
        inner = valid[name]
        if isinstance(inner, dict) and draw(st.booleans()):
            content[name] = draw(changed(inner))
        elif isinstance(inner, list) and draw(st.booleans()):
            content[name] = [*inner, draw(VALUES)]
        else:
            content[name] = draw(VALUES)
    if draw(st.integers(0, 4)) == 0:
        content[draw(TEXT)] = draw(VALUES)
    return content


@st.composite
def spoilt(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """The bytes of a changed body, some of which are others, doubled or left out."""
    text = json.dumps(draw(changed(valid)), ensure_ascii=draw(st.booleans()))
    body = bytearray(text.encode(draw(st.sampled_from(["utf-8"] * 9 + ["utf-16", "utf-32"])), "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 5))
        piece = draw(st.one_of(st.binary(max_size=4), st.just(bytes(body[start:end]) * 2), st.sampled_from(PIECES)))
        body[start:end] = piece
    return bytes(body)


PIECES = [
    b"NaN",
    b"-Infinity",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"[" * 3000,
    b'"n":1,',
    b"9" * 5000,
    b"\x00",
    b"\xef\xbb\xbf",
    b"1e999",
]


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_stream_n=5000, max_attempts=5000) as service:
        yield service


@pytest.fixture(scope="module")
def documented(service: Running) -> dict[str, set[tuple[int, str]]]:
    """Status and kind of every problem that the description names, by path."""
    paths = service.client.get("/openapi.json").json()["paths"]
    found: dict[str, set[tuple[int, str]]] = {}
    for path in VALID:
        for status, answer in paths[path]["post"]["responses"].items():
            kinds = answer["content"].get(MEDIA_TYPE, {}).get("examples", {})
            found.setdefault(path, set()).update((int(status), kind) for kind in kinds)
    return found


def send(service: Running, path: str, body: bytes, accept: str = "*/*") -> httpx.Response:
    headers = {"content-type": "application/json", "accept": accept}
    return service.client.post(path, content=body, headers=headers)


def assert_foreseen(answer: httpx.Response, documented: set[tuple[int, str]]) -> None:
    event(str(answer.status_code))
    assert answer.status_code < 500, answer.text
    if answer.status_code == 200:
        return
    assert answer.headers["content-type"] == MEDIA_TYPE
    content = answer.json()
    kind = content["type"].removeprefix("/docs#")
    assert (answer.status_code, kind) in documented
    assert content["status"] == answer.status_code == KINDS[kind].status
    assert content["title"] == KINDS[kind].title
    assert SECRET not in answer.text
    for error in content.get("errors", ()):
        assert set(error) <= {"field", "detail", "bound", "given"}
        assert error["detail"] in content["detail"]


@pytest.mark.parametrize("path", VALID)
def test_the_body_that_the_others_are_made_of_is_valid(service: Running, path: str) -> None:
    assert send(service, path, json.dumps(VALID[path]).encode()).status_code == 200


@pytest.mark.parametrize("path", VALID)
def test_no_body_is_beyond_what_is_documented(
    service: Running, documented: dict[str, set[tuple[int, str]]], path: str
) -> None:
    @fuzzed
    @given(
        body=spoilt(VALID[path]) | st.binary(max_size=200),
        accept=st.sampled_from(["*/*", "text/csv", "application/x-ndjson"]),
    )
    def claim(body: bytes, accept: str) -> None:
        assert_foreseen(send(service, path, body, accept), documented[path])

    claim()


ACCEPTS = st.lists(
    st.sampled_from(
        [
            "application/json",
            "text/csv",
            "text/*",
            "*/*",
            "image/png",
            "q=0.5",
            ";q=x",
            "",
            ",",
            ";",
            "q=nan",
            "q=1e999",
        ]
    ),
    max_size=5,
).map(";".join) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)


def test_no_wish_for_a_form_is_beyond_what_is_documented(
    service: Running, documented: dict[str, set[tuple[int, str]]]
) -> None:
    @fuzzed
    @given(accept=ACCEPTS)
    def claim(accept: str) -> None:
        assert_foreseen(send(service, "/v1/generate", b"{}", accept), documented["/v1/generate"])

    claim()
