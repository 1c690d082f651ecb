"""What the settings let one request ask for: more than the queue holds is told at once, and not refused for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from running import Running, assert_problem, running

SMALL = 5  # strings that the queue holds
ENDS = {"from": {"seed": 1}, "to": {"seed": 2}}


@pytest.fixture(scope="module")
def small() -> Iterator[Running]:
    with running(max_n=SMALL, max_strings_queued=SMALL) as service:
        yield service


@pytest.mark.parametrize(
    ("path", "body", "field", "bound", "given"),
    [
        ("/v1/generate", {"n": SMALL + 1}, "n", "an integer between 1 and 5", 6),
        ("/v1/score", {"texts": ["1"] * (SMALL + 1)}, "texts", "an array of 1 to 5 items", "an array of 6"),
        ("/v1/interpolate", ENDS | {"steps": SMALL + 1}, "steps", "an integer between 2 and 5", 6),
    ],
)
def test_more_than_the_queue_holds_is_a_422_that_names_the_bound(
    small: Running, path: str, body: dict[str, Any], field: str, bound: str, given: object
) -> None:
    (error,) = assert_problem(small.ask(path, body), 422, "invalid-field")["errors"]
    assert (error["field"], error["bound"], error["given"]) == (field, bound, given)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/generate", {"n": SMALL}),
        ("/v1/score", {"texts": ["1"] * SMALL}),
        ("/v1/interpolate", ENDS | {"steps": SMALL}),
        ("/v1/interpolate", ENDS),
    ],
)
def test_what_an_empty_queue_holds_is_answered(small: Running, path: str, body: dict[str, Any]) -> None:
    assert small.ask(path, body).status_code == 200


def test_a_stream_needs_no_more_of_the_queue_than_there_is(small: Running) -> None:
    answer = small.ask("/v1/generate", {"n": 100, "seed": 1}, accept="text/plain")
    assert answer.text.split() == [f"1:{i}" for i in range(100)]


def test_the_bounds_stand_in_the_description(small: Running) -> None:
    schemas = small.client.get("/openapi.json").json()["components"]["schemas"]
    steps = schemas["InterpolateRequest"]["properties"]["steps"]
    assert (steps["default"], steps["maximum"]) == (SMALL, SMALL)
    assert schemas["ScoreRequest"]["properties"]["texts"]["maxItems"] == SMALL
