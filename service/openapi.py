"""The description of the service: every answer of every route, the errors included.

python -m service.openapi       writes service/openapi.json anew
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import KINDS, MEDIA_TYPE
from service.schemas import (
    GenerateResponse,
    InterpolateResponse,
    ProblemDetails,
    ScoreResponse,
    StreamedSummary,
    StreamedText,
)

# Answers that routes write themselves, so that FastAPI does not know their schemas.
WRITTEN: tuple[type[BaseModel], ...] = (
    GenerateResponse,
    StreamedText,
    StreamedSummary,
    ScoreResponse,
    InterpolateResponse,
    ProblemDetails,
)

# What a request that waits in the queue can meet.
QUEUED = (
    "malformed-request",
    "malformed-body",
    "unauthorized",
    "unknown-model",
    "header-timeout",
    "body-timeout",
    "body-too-large",
    "unsupported-media-type",
    "invalid-field",
    "rate-limited",
    "queue-full",
    "headers-too-large",
    "engine-failed",
    "internal-error",
    "not-ready",
    "deadline-exceeded",
)

REFERENCE = "#/components/schemas/{model}"


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """A schema that points to a model's own."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that can answer with these kinds of problem."""
    answers: dict[int | str, dict[str, Any]] = {}
    for name in kinds:
        kind = KINDS[name]
        example = {"type": f"/docs#{name}", "title": kind.title, "status": kind.status, "detail": kind.advice}
        answer = answers.setdefault(kind.status, {"description": "", "content": {MEDIA_TYPE: {"examples": {}}}})
        answer["description"] = " ".join(filter(None, [answer["description"], f"{kind.title}. {kind.advice}"]))
        answer["content"][MEDIA_TYPE]["schema"] = reference(ProblemDetails)
        answer["content"][MEDIA_TYPE]["examples"][name] = {"value": example}
    if 429 in answers:
        header = {"description": "Seconds until there should be room.", "schema": {"type": "integer"}}
        answers[429]["headers"] = {"Retry-After": header}
    return answers


def describe(app: FastAPI, *bodies: type[BaseModel]) -> None:
    """Let an application's description hold the schemas of the bodies that its routes read and write themselves."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            models = [(model, "validation") for model in (*bodies, *WRITTEN)]
            _, definitions = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            _forget_fastapis_own(schema)
            schema["x-problems"] = {name: asdict(kind) for name, kind in KINDS.items()}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _forget_fastapis_own(schema: dict[str, Any]) -> None:
    """FastAPI promises an answer of its own wherever a path has a parameter; here that one cannot fail."""
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422", "")):
                del operation["responses"]["422"]


def write(path: Path) -> None:
    """Write the description of a service with default settings, which the repository holds and a test compares."""
    from service.app import create_app
    from service.settings import Settings

    document = create_app(Settings(model=Path("names"))).openapi()
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).with_name("openapi.json"))
