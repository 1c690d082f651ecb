"""The reading of a JSON body without mercy.

Python's JSON reader is lenient where JSON is not: NaN, Infinity and duplicate keys pass it.  Here they do not.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from annotated_types import Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from service.errors import ProblemError, given
from service.schemas import Schema

UTF_8 = (b"charset=utf-8", b'charset="utf-8"')
MOST_ERRORS = 10  # fields named in one answer


async def read_body(request: Request, schema: type[Schema]) -> Schema:
    """The body of a request, checked.  Raises ProblemError: 400, 415 or 422, and whatever reading it raises."""
    headers = request.scope["charwgan.given"]
    if not _is_json(headers.get(b"content-type", b"")):
        raise ProblemError(
            "unsupported-media-type", "Content-Type must be application/json, in utf-8 if it says a charset"
        )
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        detail = "Content-Encoding must be identity or absent, others are not supported: send the body as it is"
        raise ProblemError("unsupported-media-type", detail, headers={"Accept-Encoding": "identity"})
    return parse(await _whole(request.receive), schema)


async def _whole(receive: Receive) -> bytes:
    """All of a body, which nearly always comes at once."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
    raise ClientDisconnect


@lru_cache(maxsize=64)
def _is_json(declared: bytes) -> bool:
    """Whether a Content-Type is that of JSON in UTF-8."""
    media_type, *parameters = (part.strip().lower() for part in declared.split(b";"))
    charsets = [each for each in parameters if each.startswith(b"charset")]
    return media_type == b"application/json" and all(each in UTF_8 for each in charsets)


def parse(body: bytes, schema: type[Schema]) -> Schema:
    """A JSON body, checked.  Raises ProblemError naming each field, its bound and the value."""
    content = _load(body, schema)
    if not isinstance(content, dict):
        raise ProblemError("malformed-body", f"the body must be a JSON object, got {given(content)}")
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        told = [_field_error(schema, item["loc"], item["input"], item["type"] == "missing") for item in found]
        # Unknown keys are not named, so that once says it all.
        raise invalid(list({item["detail"]: item for item in told}.values())[:MOST_ERRORS]) from None


def invalid(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """The problem of fields that are out of bounds."""
    return ProblemError("invalid-field", "; ".join(item["detail"] for item in errors), errors=errors)


class _DuplicateError(Exception):
    def __init__(self, names: Sequence[str]) -> None:
        self.names = names


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise _DuplicateError([name for name, _ in pairs])
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ProblemError("malformed-body", f"{name} is not JSON: numbers must be finite")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _load(body: bytes, schema: type[BaseModel]) -> Any:
    try:
        return _DECODER.decode(body.decode())
    except _DuplicateError as error:
        twice = (name for name in error.names if error.names.count(name) > 1 and name in _names(schema))
        field = next(twice, None)
        detail = f"{field or 'a key'} is given more than once"
        errors = [{"field": field, "detail": detail, "bound": "each key once"}]
        raise ProblemError("malformed-body", detail, errors=errors) from None
    except UnicodeDecodeError as error:
        raise ProblemError("malformed-body", f"the body must be UTF-8; byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        told = error.msg.removesuffix(" at").rstrip(": ")
        detail = f"{told} at character {error.pos}" if body else 'it is empty; "{}" takes every default'
        raise ProblemError("malformed-body", f"the body must be JSON: {detail}") from None
    except ValueError:  # an integer of more digits than Python reads
        raise ProblemError("malformed-body", "the body holds a number of too many digits") from None
    except RecursionError:
        raise ProblemError("malformed-body", "the body is nested too deeply") from None


def _names(schema: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by the names that they have in JSON."""
    return {field.alias or name: field for name, field in schema.model_fields.items()}


def _field_error(schema: type[BaseModel], place: tuple[int | str, ...], value: object, missing: bool) -> dict[str, Any]:
    names, path = _names(schema), ""
    for depth, part in enumerate(place):
        if isinstance(part, int):  # the place in an array
            path += f"[{part}]"
            continue
        if part not in names:
            return _unknown(names, path)
        field, path = names[part], f"{path}.{part}" if path else part
        inner = _inner_model(field)
        if inner is not None and depth + 1 < len(place):
            names = _names(inner)
    if not place:  # pydantic gives no place to a key that holds half of a surrogate pair
        return _unknown(names, path)
    bound = bound_of(field) if not path.endswith("]") else bound_of_item(field)
    if missing:
        return {"field": path, "detail": f"{path} is missing: it must be {bound}", "bound": bound}
    shown = given(value)
    return {"field": path, "detail": f"{path} must be {bound}, got {shown}", "bound": bound, "given": shown}


def _unknown(names: Mapping[str, FieldInfo], path: str) -> dict[str, Any]:
    known = ", ".join(names)
    where = f" in {path}" if path else ""
    # The key itself is text of the request, and so is not repeated.
    return {"field": None, "detail": f"a key{where} is not known: the keys are {known}", "bound": known}


def _inner_model(field: FieldInfo) -> type[BaseModel] | None:
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def bound_of(field: FieldInfo) -> str:
    """What a field accepts, in words; of n, where a stream may have more, both bounds."""
    if not isinstance(field.json_schema_extra, dict):
        return _describe(field.annotation, field.metadata)
    (most,) = (item.le for item in field.metadata if isinstance(item, Le))
    whole = field.json_schema_extra["x-maximum-whole"]
    bound = _describe(field.annotation, [*field.metadata, Le(whole)])  # type: ignore[arg-type]
    return bound if whole == most else f"{bound} (in a stream {most})"


def bound_of_item(field: FieldInfo) -> str:
    """What the items of an array accept, in words."""
    (item,) = (each for each in _members(field.annotation) if get_origin(each) is list)
    (inner,) = get_args(item)
    metadata = getattr(inner, "__metadata__", ())
    return _describe(get_args(inner)[0] if metadata else inner, [m for each in metadata for m in each.metadata])


def _members(annotation: Any) -> list[Any]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return [each for each in get_args(annotation) if each is not type(None)] if union else [annotation]


def _describe(annotation: Any, metadata: Sequence[Any]) -> str:
    (kind, *_) = _members(annotation)
    limits: dict[str, Any] = {}
    for item in metadata:
        for name in ("ge", "gt", "le", "min_length", "max_length"):
            if (limit := getattr(item, name, None)) is not None:
                limits[name] = limit
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        noun = "an integer" if kind is int else "a number"
        low = f"{limits['ge']:g}" if isinstance(limits.get("ge"), float) else limits.get("ge")
        high = f"{limits['le']:g}" if isinstance(limits.get("le"), float) else limits.get("le")
        return (
            f"{noun} above {limits['gt']} and at most {high}" if "gt" in limits else f"{noun} between {low} and {high}"
        )
    least, most = limits.get("min_length", 0), limits.get("max_length")
    if kind is str:
        return f"a string of {least} to {most} characters of Unicode"
    if get_origin(kind) is list:
        return f"an array of {least} to {most} items"
    return "an object"
