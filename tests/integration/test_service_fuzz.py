"""Bodies that nobody foresaw: whatever is sent, the answer is one that is documented, and nothing of it is repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest
from described import operations
from fake_engine import DEADLINE_S
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from running import running

from service.errors import KINDS, MEDIA_TYPE

EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "1000"))
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
SCALARS = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 10**400, 1e308, 5e-324, -0.0]),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXT,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = TEXT | st.sampled_from(["seed", "n"])
    return st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3)


# Written out, since st.recursive takes twice as long for a value.
VALUES = SCALARS | containers(SCALARS | containers(SCALARS))


@st.composite
def changed(draw: st.DrawFn, valid: dict[str, Any]) -> dict[str, Any]:
    """A valid body of which some keys are left out, some values are others, and some keys are new."""
    kept = draw(st.integers(0, 2 ** len(valid) - 1))  # a bit for each key, which is one draw and not eighteen
    content = {name: value for place, (name, value) in enumerate(valid.items()) if kept >> place & 1}
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


class Answer(NamedTuple):
    status: int
    media_type: str | None
    body: bytes


class Asking:
    """One connection for all examples: a new one for each, or a client that does more, would take most of the time."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        described = operations(json.loads(self.request("GET", "/openapi.json").body))
        self.documented = {path: problems_of(operation["responses"]) for path, _, operation in described}

    def request(self, method: str, path: str, body: bytes | None = None, accept: str = "*/*") -> Answer:
        self.connection.request(method, path, body, {"content-type": "application/json", "accept": accept})
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.getheader("content-type"), answer.read())

    def post(self, path: str, body: bytes, accept: str = "*/*") -> Answer:
        return self.request("POST", path, body, accept)


def problems_of(responses: dict[str, Any]) -> set[tuple[int, str]]:
    """Status and kind of every problem that the description names."""
    contents = [(int(status), answer["content"].get(MEDIA_TYPE, {})) for status, answer in responses.items()]
    return {(status, kind) for status, content in contents for kind in content.get("examples", ())}


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    with running(max_stream_n=5000, max_attempts=5000) as service:
        asking = Asking(service.port)
        yield asking
        asking.connection.close()


def assert_foreseen(answer: Answer, documented: set[tuple[int, str]]) -> None:
    event(str(answer.status))
    assert answer.status < 500, answer
    if answer.status == 200:
        return
    assert answer.media_type == MEDIA_TYPE
    content = json.loads(answer.body)
    kind = content["type"].removeprefix("/docs#")
    assert (answer.status, kind) in documented
    assert content["status"] == answer.status == KINDS[kind].status
    assert content["title"] == KINDS[kind].title
    assert SECRET.encode() not in answer.body
    for error in content.get("errors", ()):
        assert set(error) <= {"field", "detail", "bound", "given"}
        assert error["detail"] in content["detail"]


@pytest.mark.parametrize("path", VALID)
def test_the_body_that_the_others_are_made_of_is_valid(asking: Asking, path: str) -> None:
    assert asking.post(path, json.dumps(VALID[path]).encode()).status == 200


@pytest.mark.parametrize("path", VALID)
def test_no_body_is_beyond_what_is_documented(asking: Asking, path: str) -> None:
    @fuzzed
    @given(
        body=spoilt(VALID[path]) | st.binary(max_size=200),
        accept=st.sampled_from(["*/*", "text/csv", "application/x-ndjson"]),
    )
    def claim(body: bytes, accept: str) -> None:
        assert_foreseen(asking.post(path, body, accept), asking.documented[path])

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


def test_no_wish_for_a_form_is_beyond_what_is_documented(asking: Asking) -> None:
    @fuzzed
    @given(accept=ACCEPTS)
    def claim(accept: str) -> None:
        assert_foreseen(asking.post("/v1/generate", b"{}", accept), asking.documented["/v1/generate"])

    claim()
