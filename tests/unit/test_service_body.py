"""Reading a body without mercy, and describing what is wrong with it without repeating it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.body import parse
from service.errors import ProblemError
from service.schemas import MAX_SEED, GenerateRequest, InterpolateRequest, Request, ScoreRequest, bounded
from service.settings import Settings

SMALL = bounded(GenerateRequest, Settings(model=Path("names"), max_n=5, max_stream_n=10_000))


def problem_of(body: bytes, schema: type[Request] = SMALL) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        parse(body, schema)
    return refused.value


def test_defaults_are_one_string_and_a_drawn_seed() -> None:
    assert parse(b"{}", GenerateRequest) == GenerateRequest(n=1, seed=None)
    assert parse(b'{"seed": null}', GenerateRequest).seed is None


def test_the_bounds_themselves_are_accepted() -> None:
    body = json.dumps({"n": 10_000, "seed": MAX_SEED}).encode()
    wanted = parse(body, SMALL)
    assert (wanted.n, wanted.seed) == (10_000, MAX_SEED)


def test_a_lower_bound_of_the_settings_is_kept_and_named() -> None:
    problem = problem_of(b'{"n": 10001}')
    bound = "an integer between 1 and 5 (in a stream 10000)"
    assert problem.errors == [
        {"field": "n", "detail": f"n must be {bound}, got 10001", "bound": bound, "given": 10_001}
    ]


@pytest.mark.parametrize(("rate", "bound"), [(10, "1 and 5 (in a stream 10)"), (5, "1 and 5"), (4, "1 and 4")])
def test_the_bound_of_streams_is_told_where_it_is_another(rate: int, bound: str) -> None:
    schema = bounded(GenerateRequest, Settings(model=Path("names"), max_n=5, rate_limit=rate))
    for value in ("0", "true", "20000000"):
        assert f"n must be an integer between {bound}, got" in problem_of(b'{"n": %s}' % value.encode(), schema).detail


BOUNDS = {
    '{"temperature": 101}': "temperature must be a number above 0 and at most 100, got 101",
    '{"mode": "beam"}': "mode must be one of argmax, sample, got a string of 4",
    '{"unique": 1}': "unique must be true or false, got 1",
    '{"charset": ""}': "charset must be a string of 1 to 4096 characters of Unicode, got a string of 0",
    '{"max_attempts": 0}': "max_attempts must be an integer between 1 and 1000000, got 0",
    '{"deadline_s": 61}': "deadline_s must be a number between 0.1 and 60, got 61",
}


@pytest.mark.parametrize(("body", "detail"), BOUNDS.items())
def test_each_kind_of_field_is_told_with_its_bound(body: str, detail: str) -> None:
    assert problem_of(body.encode()).detail == detail


NESTED: dict[str, tuple[type[Request], str]] = {
    '{"texts": []}': (ScoreRequest, "texts must be an array of 1 to 1000 items, got an array of 0"),
    '{"texts": ["a", 2]}': (ScoreRequest, "texts[1] must be a string of 0 to 1024 characters of Unicode, got 2"),
    '{"from": {"seed": -1}, "to": {}}': (
        InterpolateRequest,
        f"from.seed must be an integer between 0 and {MAX_SEED}, got -1",
    ),
    '{"from": {"x": 1}, "to": {}}': (
        InterpolateRequest,
        "a key in from is not known: the keys are seed, first, latent",
    ),
    '{"from": {}}': (InterpolateRequest, "to is missing: it must be an object"),
}


@pytest.mark.parametrize(("body", "schema", "detail"), [(body, *rest) for body, rest in NESTED.items()])
def test_what_lies_within_a_field_is_told_with_its_place(body: str, schema: type[Request], detail: str) -> None:
    assert problem_of(body.encode(), schema).detail == detail


NO_JSON = {
    '{"prefix": "a': "Unterminated string starting at character 11",
    '{"prefix": "\n"}': "Invalid control character at character 12",
    '{"prefix": "\\q"}': "Invalid \\escape at character 12",
    '{"n": 1} x': "Extra data at character 9",
    "": 'it is empty; "{}" takes every default',
}


@pytest.mark.parametrize(("body", "told"), NO_JSON.items())
def test_where_a_body_ceases_to_be_json_is_told_in_words_that_read_well(body: str, told: str) -> None:
    assert problem_of(body.encode()).detail == f"the body must be JSON: {told}"


def test_every_wrong_field_is_named_at_once() -> None:
    problem = problem_of(b'{"n": "3", "seed": -1, "m": 1}')
    assert [error["field"] for error in problem.errors] == ["n", "seed", None]


def test_many_wrong_keys_do_not_make_a_long_answer() -> None:
    body = json.dumps({f"key{i}": i for i in range(5000)}).encode()
    assert len(problem_of(body).response().body) < 4000


@given(st.text(st.characters(exclude_categories=())).map(lambda text: f"secret-{text}"))
def test_text_of_the_request_is_never_repeated(text: str) -> None:
    for content in ({"n": text}, {text: 1}, [text], text, {"seed": [text]}, {"n": {text: text}}):
        problem = problem_of(json.dumps(content).encode())
        assert b"secret" not in bytes(problem.response().body)


@given(st.binary(max_size=64))
def test_any_bytes_are_accepted_or_refused_and_nothing_else(body: bytes) -> None:
    status = 200
    try:
        parse(body, GenerateRequest)
    except ProblemError as problem:
        status = json.loads(bytes(problem.response().body))["status"]
    assert status in {200, 400, 422}


SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=()))


@given(SCALARS | st.lists(SCALARS | st.lists(SCALARS)))
def test_any_value_of_n_is_an_integer_in_bounds_or_refused(value: object) -> None:
    body = json.dumps({"n": value}).encode()
    if type(value) is int and 1 <= value <= 10_000:
        assert parse(body, GenerateRequest).n == value
    else:
        content = json.loads(bytes(problem_of(body).response().body), parse_constant=lambda name: pytest.fail(name))
        assert content["status"] in {400, 422}
