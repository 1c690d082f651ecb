"""The description of the service: every answer of every route, the errors included.

python -m service.openapi       writes service/openapi.json and service/openapi-admin.json anew

A route says what it answers by itself; what the wire and the middleware around every route may answer, ask for and add
is said here.  What several answers share stands in ``components`` once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import examples
from service.conventions import CONVENTIONS, HEADERS, KEY, PARAMETERS
from service.errors import KINDS, MEDIA_TYPE
from service.schemas import (
    GenerateResponse,
    InterpolateResponse,
    ProblemDetails,
    ScoreResponse,
    StreamedProblem,
    StreamedSummary,
    StreamedText,
)
from service.security import OPEN_PATHS, Gate

if TYPE_CHECKING:
    from service.middleware import Endpoint

JSON = "application/json"
Answers = dict[int | str, dict[str, Any]]

# Answers that routes write themselves, so that FastAPI does not know their schemas.
WRITTEN: tuple[type[BaseModel], ...] = (
    GenerateResponse,
    StreamedText,
    StreamedSummary,
    StreamedProblem,
    ScoreResponse,
    InterpolateResponse,
    ProblemDetails,
)

WIRE = frozenset({"malformed-request", "header-timeout", "headers-too-large", "too-many-connections"})
# What any request can meet before a route sees it, or when the process fails or ends under it.
AROUND = WIRE | {"unauthorized", "body-too-large", "internal-error", "not-ready"}
# What a request can meet that has a body and waits in the queue.
QUEUED = (
    "malformed-body",
    "unknown-model",
    "body-timeout",
    "unsupported-media-type",
    "invalid-field",
    "rate-limited",
    "queue-full",
    "engine-failed",
    "deadline-exceeded",
)

LIMIT = ("RateLimit", "RateLimit-Policy")
IN_TRACE = ("traceparent", "tracestate")
CARRIED: Mapping[str, tuple[str, ...]] = {  # headers by kind of problem, beside the request's id and trace
    "unauthorized": ("WWW-Authenticate",),
    "unsupported-media-type": ("Accept-Encoding",),
    "too-many-attempts": LIMIT,
    "rate-limited": ("Retry-After", *LIMIT),
    "queue-full": ("Retry-After", *LIMIT),
    "engine-failed": LIMIT,
    "not-ready": ("Retry-After",),
    "too-many-connections": ("Retry-After",),
    "deadline-exceeded": ("Retry-After", *LIMIT),
}


def pointer(kind: str, name: str) -> dict[str, Any]:
    """A reference to what stands in the components."""
    return {"$ref": f"#/components/{kind}/{name}"}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """A schema that points to a model's own."""
    return pointer("schemas", model.__name__)


def headers(*names: str) -> dict[str, Any]:
    """The ``headers`` of an answer that has these."""
    return {name: pointer("headers", name) for name in names}


def problems(*kinds: str) -> Answers:
    """The ``responses`` of a route that can answer with these kinds of problem, and with those around every route."""
    found: Answers = {}
    for name, kind in KINDS.items():
        if name not in (*AROUND, *kinds):
            continue
        content = {"schema": reference(ProblemDetails), "examples": {}}
        answer = found.setdefault(kind.status, {"description": "", "headers": {}, "content": {MEDIA_TYPE: content}})
        answer["description"] = f"{answer['description']} {kind.title}. {kind.advice}".strip()
        answer["headers"] |= headers(*CARRIED.get(name, ()), "X-Request-Id", *(() if name in WIRE else IN_TRACE))
        answer["content"][MEDIA_TYPE]["examples"][name] = pointer("examples", name)
    return found


def answers(example: str, *kinds: str) -> Answers:
    """The ``responses`` of a route with an answer such as ``examples.ANSWERS`` names, and these kinds of problem."""
    return {200: {"content": {JSON: {"examples": {example: pointer("examples", example)}}}}, **problems(*kinds)}


def queued(
    path: str,
    endpoint: Endpoint,
    exchanges: Mapping[str, examples.Exchange],
    *kinds: str,
    summary: str,
    body: type[BaseModel],
    answer: type[BaseModel],
    told: str,
    forms: Mapping[str, Any] | None = None,
    carried: tuple[str, ...] = (),
) -> APIRouter:
    """The route of an endpoint that reads its body itself and waits in the queue.

    kinds: of problem, beside QUEUED.  body, answer: their schemas.  told: what the answer is.  forms: the content of
    its other media types.  carried: its own headers.
    """

    def shown(part: str) -> dict[str, Any]:
        return {name: {"summary": each.summary, "value": getattr(each, part)} for name, each in exchanges.items()}

    content = {JSON: {"schema": reference(answer), "examples": shown("answer")}, **(forms or {})}
    success = {"description": told, "headers": headers(*carried, *LIMIT), "content": content}
    wanted = {"required": True, "content": {JSON: {"schema": reference(body), "examples": shown("body")}}}
    routes = APIRouter()
    routes.post(
        path,
        operation_id=endpoint.__name__,
        summary=summary,
        responses={200: success, **problems(*QUEUED, *kinds)},
        openapi_extra={"requestBody": wanted},
    )(endpoint)
    return routes


def describe(app: FastAPI, *bodies: type[BaseModel]) -> None:
    """Let an application describe what its routes read and write themselves, and what stands around them.

    bodies: the schemas of what they read.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = f"{app.description}\n\n{CONVENTIONS}".strip()
            schema = get_openapi(title=app.title, version=app.version, description=told, routes=app.routes)
            components = _components(*bodies)
            components["schemas"] = schema["components"]["schemas"] | components["schemas"]
            schema["components"] = components
            for path, operation in _operations(schema):
                _complete(operation, _security(app.state.gate, path))
                _share(operation["responses"], components["responses"])
            _forget_unused(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _components(*bodies: type[BaseModel]) -> dict[str, Any]:
    """What answers and requests point to."""
    models = [(model, "validation") for model in (*bodies, *WRITTEN)]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    answered = {name: {"value": content} for name, content in examples.ANSWERS.items()}
    told = {
        name: {"summary": kind.title, "description": kind.advice, "value": examples.PROBLEMS[name].content()}
        for name, kind in KINDS.items()
    }
    return {
        "schemas": definitions["$defs"],
        "responses": {},
        "parameters": dict(PARAMETERS),
        "examples": answered | told,
        "headers": dict(HEADERS),
        "securitySchemes": {"key": KEY},
    }


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            yield path, operation


def _security(gate: Gate, path: str) -> list[dict[str, Any]]:
    """Whether a path asks for a key: always, never, or only once the service is given keys."""
    if gate.needed(path):
        return [{"key": []}]
    return [] if path in OPEN_PATHS else [{"key": []}, {}]


def _complete(operation: dict[str, Any], security: list[dict[str, Any]]) -> None:
    """Add what the middleware asks for and adds, and take out what cannot be."""
    found = operation["responses"]
    if not security:
        del found["401"]
    if "422" in found and MEDIA_TYPE not in found["422"]["content"]:
        del found["422"]  # FastAPI promises one of its own wherever a path has a parameter; here that one cannot fail
    found["200"].setdefault("headers", {}).update(headers("X-Request-Id", *IN_TRACE))
    operation["responses"] = dict(sorted(found.items()))
    operation["security"] = security
    operation.setdefault("parameters", []).extend(pointer("parameters", name) for name in PARAMETERS)


def _share(found: dict[str, Any], shared: dict[str, Any]) -> None:
    """Let problems that are alike in several operations stand in one place, under the names of their kinds."""
    for status, answer in found.items():
        if MEDIA_TYPE in answer["content"]:
            name = "-or-".join(answer["content"][MEDIA_TYPE]["examples"])
            shared[name] = answer
            found[status] = pointer("responses", name)


def _forget_unused(schema: dict[str, Any]) -> None:
    """Take out what nothing points to but kinds of problem, and then what only that pointed to."""
    components, text = schema["components"], json.dumps(schema)
    places = {(kind, name) for kind in ("schemas", "headers", "examples") for name in components[kind].keys() - KINDS}
    if unused := [(kind, name) for kind, name in places if f'"#/components/{kind}/{name}"' not in text]:
        for kind, name in unused:
            del components[kind][name]
        _forget_unused(schema)


def write(folder: Path) -> None:
    """Write the descriptions of a service with default settings, which the repository holds and a test compares."""
    from service.app import create_admin_app, create_app
    from service.metrics import Metrics
    from service.settings import Settings

    settings = Settings(model=Path("names"), admin_key="x" * 16)
    for name, app in (("openapi", create_app(settings)), ("openapi-admin", create_admin_app(settings, Metrics()))):
        text = json.dumps(app.openapi(), indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parent)
