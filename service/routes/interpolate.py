"""``POST /v1/interpolate``: the strings between two latents."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from model.latents import slerp
from service.body import invalid, read_body
from service.forms import JSON, encode
from service.jobs import Decoded, Version
from service.openapi import QUEUED, problems, reference
from service.schemas import End, InterpolateRequest, InterpolateResponse
from service.serving import serving_of

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The strings on the way, both ends included.",
        "content": {JSON.media_type: {"schema": reference(InterpolateResponse)}},
    },
    **problems(*QUEUED),
}
EXAMPLES = {
    "seeds": {"summary": "From one seed to another", "value": {"from": {"seed": 7}, "to": {"seed": 8}, "steps": 5}}
}


def router(schema: type[InterpolateRequest]) -> APIRouter:
    """The route, for requests of this schema."""
    routes = APIRouter()
    content = {JSON.media_type: {"schema": reference(schema), "examples": EXAMPLES}}

    @routes.post(
        "/v1/interpolate",
        operation_id="interpolate",
        summary="The strings between two latents",
        responses=ANSWERS,
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def interpolate(request: Request) -> Response:
        """The strings of as many latents as steps says, on the arc (slerp) from one string's latent to another's."""
        serving = serving_of(request)
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        path = slerp(latent_of(wanted.start, "from", version), latent_of(wanted.end, "to", version), wanted.steps)
        await serving.admit(request, wanted.steps)
        deadline = perf_counter() + (wanted.deadline_s or serving.settings.deadline_s)
        outcome = await serving.answer(Decoded(version, path, deadline), request)
        return Response(encode({"texts": outcome.texts, "model": version.identity}), media_type=JSON.media_type)

    return routes


def latent_of(end: End, field: str, version: Version) -> NDArray[np.float32]:
    """The latent (Z,) that an end names.  Raises ProblemError if it names two or none, or one of another size."""
    size = version.artifact.latent
    if (end.seed is None) == (end.latent is None):
        bound = "an object with either seed or latent"
        raise invalid([{"field": field, "detail": f"{field} must be {bound}", "bound": bound}])
    if end.seed is not None:
        latent: NDArray[np.float32] = version.engine.latents(end.seed, end.first, 1)[0]
        return latent
    assert end.latent is not None
    if len(end.latent) != size:
        field, bound = f"{field}.latent", f"an array of {size} numbers"
        detail = f"{field} must be {bound}, got {len(end.latent)}"
        raise invalid([{"field": field, "detail": detail, "bound": bound, "given": len(end.latent)}])
    return np.array(end.latent, dtype=np.float32)
