"""What the API's requests and answers hold, the client can pass and read."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from client_callers import Blocking
from client_server import Open, problem

from service.client import Common, Generated, Options, Row, Scored, Summary
from service.schemas import (
    End,
    GenerateRequest,
    GenerateResponse,
    InterpolateRequest,
    Made,
    Request,
    ScoreRequest,
    ScoreResponse,
    StreamedText,
)

ENDS = {"start": dict.fromkeys(End.model_fields, 1), "end": dict.fromkeys(End.model_fields, 1)}


@pytest.mark.parametrize(
    ("method", "schema"),
    [
        ("generate", GenerateRequest),
        ("stream", GenerateRequest),
        ("score", ScoreRequest),
        ("interpolate", InterpolateRequest),
    ],
)
def test_every_field_of_a_request_can_be_passed(
    caller: Blocking, service: Open, method: str, schema: type[Request]
) -> None:
    there = service(problem(422, "invalid-field"))
    values = dict.fromkeys(schema.model_fields, 1) | ({"texts": ["x"]} if method == "score" else {})
    values |= ENDS if method == "interpolate" else {}
    if method == "stream":
        caller.stream(there.url, **values)
    else:
        with pytest.raises(Exception, match="invalid-field"):
            caller.call(there.url, method, **values)
    assert there.bodies[0] == {schema.model_fields[name].alias or name: value for name, value in values.items()}


def test_a_type_checker_knows_every_field_of_a_request() -> None:
    assert {"n", "seed", *get_type_hints(Options)} == GenerateRequest.model_fields.keys()
    assert {"texts", *get_type_hints(Common)} == ScoreRequest.model_fields.keys()
    assert {"start", "end", "steps", *get_type_hints(Common)} == InterpolateRequest.model_fields.keys()


def test_every_field_of_an_answer_can_be_read() -> None:
    def known(result: type, **renamed: str) -> set[str]:
        return {renamed.get(name, name) for name in get_type_hints(result)}

    model = {"model_name": "model", "digest": "model"}
    assert known(Generated, **model) == GenerateResponse.model_fields.keys()
    assert known(Row, place="index") == StreamedText.model_fields.keys()
    assert known(Summary, **model) == Made.model_fields.keys()
    assert known(Scored, **model) == ScoreResponse.model_fields.keys()
