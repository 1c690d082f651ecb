"""``POST /v1/generate``: n strings of a seed."""

from __future__ import annotations

import json
import random
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.openapi import problems, reference
from service.registry import serving_of
from service.schemas import MAX_SEED, GenerateRequest, GenerateResponse, read_body

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The strings.", "content": {"application/json": {"schema": reference(GenerateResponse)}}},
    **problems(
        "malformed-body",
        "body-timeout",
        "body-too-large",
        "unsupported-media-type",
        "invalid-field",
        "queue-full",
        "engine-failed",
        "internal-error",
        "not-ready",
    ),
}
EXAMPLES = {
    "five": {"summary": "Five strings", "value": {"n": 5}},
    "seeded": {"summary": "The same five strings every time", "value": {"n": 5, "seed": 42}},
}


def router(schema: type[GenerateRequest]) -> APIRouter:
    """The route, for requests of this schema."""
    routes = APIRouter()
    content = {"application/json": {"schema": reference(schema), "examples": EXAMPLES}}

    @routes.post(
        "/v1/generate",
        operation_id="generate",
        summary="New strings",
        responses=ANSWERS,
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def generate(request: Request) -> Response:
        """Make n strings.  String i depends on the model, the seed and i alone, whoever else asks meanwhile."""
        serving = serving_of(request)
        wanted = await read_body(request, schema)
        # A seed is no secret, and asking the operating system for one would give the interpreter away at every request.
        seed = random.randint(0, MAX_SEED) if wanted.seed is None else wanted.seed
        texts = await serving.generate(seed, wanted.n, request.receive)
        content = {"texts": texts, "seed": seed, "model": serving.identity}
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json")

    return routes
