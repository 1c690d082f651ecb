"""Reading a body without mercy, and describing what is wrong with it without repeating it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ProblemError
from service.schemas import MAX_SEED, GenerateRequest, generate_request, parse


def problem_of(body: bytes, max_n: int = 10_000) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        parse(body, generate_request(max_n))
    return refused.value


def test_defaults_are_one_string_and_a_drawn_seed() -> None:
    assert parse(b"{}", GenerateRequest) == GenerateRequest(n=1, seed=None)
    assert parse(b'{"seed": null}', GenerateRequest).seed is None


def test_the_bounds_themselves_are_accepted() -> None:
    body = json.dumps({"n": 10_000, "seed": MAX_SEED}).encode()
    assert parse(body, generate_request(10_000)).model_dump() == {"n": 10_000, "seed": MAX_SEED}


def test_a_lower_bound_of_the_settings_is_kept_and_named() -> None:
    problem = problem_of(b'{"n": 6}', max_n=5)
    assert problem.errors == [
        {
            "field": "n",
            "detail": "n must be an integer between 1 and 5, got 6",
            "bound": "an integer between 1 and 5",
            "given": 6,
        }
    ]


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
    try:
        parse(body, GenerateRequest)
    except ProblemError as problem:
        json.loads(bytes(problem.response().body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(exclude_categories=())),
        lambda inner: st.lists(inner),
    )
)
def test_any_value_of_n_is_an_integer_in_bounds_or_refused(value: object) -> None:
    body = json.dumps({"n": value}).encode()
    if type(value) is int and 1 <= value <= 10_000:
        assert parse(body, GenerateRequest).n == value
    else:
        content = json.loads(bytes(problem_of(body).response().body), parse_constant=lambda name: pytest.fail(name))
        assert content["status"] in {400, 422}
