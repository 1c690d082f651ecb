"""What requests and responses hold, and the reading of a body without mercy.

Python's JSON reader is lenient where JSON is not: NaN, Infinity and duplicate keys pass it.  Here they do not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.requests import Request

from service.errors import ProblemError
from service.settings import MAX_N

MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exact, JavaScript's included
MOST_ERRORS = 10  # fields named in one answer
KINDS_OF_VALUE = {str: "a string", bool: "a boolean", type(None): "null", list: "an array", dict: "an object"}

Body = TypeVar("Body", bound=BaseModel)


class GenerateRequest(BaseModel):
    """How many strings, and from which seed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    n: int = Field(1, ge=1, le=MAX_N, description="Number of strings.", examples=[5])
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="The same seed gives the same strings; absent: drawn.", examples=[42]
    )


class ModelIdentity(BaseModel):
    """Which model made the strings."""

    name: str = Field(description="The name of the model's folder.", examples=["names"])
    digest: str = Field(description="SHA-256 of the model's manifest, in hex.", examples=["9f86d081884c7d65..."])


class GenerateResponse(BaseModel):
    """String i depends on the model's digest, the seed and i alone."""

    texts: list[str] = Field(description="The strings.", examples=[["marielle", "jonas", "adina", "tobiah", "ines"]])
    seed: int = Field(description="The seed, given or drawn.", examples=[42])
    model: ModelIdentity


class Status(BaseModel):
    """That the service lives, or takes requests."""

    status: str = Field(description="alive, or ready.", examples=["ready"])
    model: ModelIdentity


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str | None = Field(description="The field's name; null for a key that is not known.", examples=["n"])
    detail: str = Field(examples=["n must be an integer between 1 and 10000, got 20000"])
    bound: str | None = Field(None, description="What the field accepts.", examples=["an integer between 1 and 10000"])
    given: float | str | None = Field(None, description="The value if a number, else its kind.", examples=[20000])


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Where this kind of problem is described.", examples=["/docs#invalid-field"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(None, description="For fields that are wrong: which, and their bounds.")


def generate_request(max_n: int) -> type[GenerateRequest]:
    """The request's schema where at most max_n strings may be asked for."""
    field = Field(1, ge=1, le=max_n, description="Number of strings.", examples=[min(5, max_n)])
    return create_model("GenerateRequest", __base__=GenerateRequest, __doc__=GenerateRequest.__doc__, n=(int, field))


async def read_body(request: Request, schema: type[Body]) -> Body:
    """The body of a request, checked.  Raises ProblemError: 400, 415 or 422, and whatever reading it raises."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError("unsupported-media-type", "Content-Type must be application/json")
    return parse(await request.body(), schema)


def parse(body: bytes, schema: type[Body]) -> Body:
    """A JSON body, checked.  Raises ProblemError naming each field, its bound and the value."""
    content = _load(body, schema)
    if not isinstance(content, dict):
        raise ProblemError("malformed-body", f"the body must be a JSON object, got {_given(content)}")
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False)[:MOST_ERRORS]
        errors = [_field_error(schema, item["loc"], item["input"]) for item in found]
        raise ProblemError("invalid-field", "; ".join(item["detail"] for item in errors), errors=errors) from None


def _load(body: bytes, schema: type[BaseModel]) -> Any:
    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next((name for name in names if names.count(name) > 1 and name in schema.model_fields), None)
            detail = f"{twice or 'a key'} is given more than once"
            errors = [{"field": twice, "detail": detail, "bound": "each key once"}]
            raise ProblemError("malformed-body", detail, errors=errors)
        return content

    try:
        return json.loads(body.decode(), object_pairs_hook=unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ProblemError("malformed-body", f"the body must be UTF-8; byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        detail = f"{error.msg} at character {error.pos}" if body else 'it is empty; "{}" takes every default'
        raise ProblemError("malformed-body", f"the body must be JSON: {detail}") from None
    except ValueError:  # an integer of more digits than Python reads
        raise ProblemError("malformed-body", "the body holds a number of too many digits") from None
    except RecursionError:
        raise ProblemError("malformed-body", "the body is nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ProblemError("malformed-body", f"{name} is not JSON: numbers must be finite")


def _field_error(schema: type[BaseModel], place: tuple[int | str, ...], value: object) -> dict[str, Any]:
    field = str(place[0]) if place else ""  # pydantic gives no place to a key that holds half of a surrogate pair
    if field not in schema.model_fields:
        known = ", ".join(schema.model_fields)
        # The key itself is text of the request, and so is not repeated.
        return {"field": None, "detail": f"a key is not known: the keys are {known}", "bound": known}
    bound, given = _bound(schema, field), _given(value)
    return {"field": field, "detail": f"{field} must be {bound}, got {given}", "bound": bound, "given": given}


def _bound(schema: type[BaseModel], field: str) -> str:
    limits = {type(item).__name__: item for item in schema.model_fields[field].metadata}
    return f"an integer between {limits['Ge'].ge} and {limits['Le'].le}"


def _given(value: object) -> int | float | str:
    if isinstance(value, float):
        return value if math.isfinite(value) else "a number beyond floating point"
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else "an integer of more than 63 bits"
    return KINDS_OF_VALUE.get(type(value), "a value of another kind")
