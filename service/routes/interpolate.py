"""``POST /v1/interpolate``: the strings between two latents."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from model.latents import slerp
from service import examples
from service.abilities import check_label
from service.body import invalid, read_body
from service.errors import given
from service.forms import Whole
from service.jobs import Decoded
from service.openapi import queued
from service.schemas import End, InterpolateRequest, InterpolateResponse
from service.serving import serving_of
from service.version import Version


def router(schema: type[InterpolateRequest]) -> APIRouter:
    """The route, for requests of this schema."""

    async def interpolate(request: Request) -> Response:
        """The strings of as many latents as steps says, on the arc (slerp) from one string's latent to another's."""
        serving = serving_of(request)
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        path = slerp(latent_of(wanted.start, "from", version), latent_of(wanted.end, "to", version), wanted.steps)
        content: dict[str, Any] = {"model": version.identity}
        if (label := label_of(wanted, version)) is not None:
            content["label"], labels = label, version.artifact.labels
            path = labels.beside(path, labels.position(label))
        await serving.admit(request, wanted.steps)
        deadline = perf_counter() + (wanted.deadline_s or serving.settings.deadline_s)
        outcome = await serving.answer(Decoded(version, path, deadline), request)
        return Whole({"texts": outcome.texts, **content})

    return queued(
        "/v1/interpolate",
        interpolate,
        examples.INTERPOLATE,
        summary="The strings between two latents",
        body=schema,
        answer=InterpolateResponse,
        told="The strings on the way, both ends included.",
    )


def latent_of(end: End, field: str, version: Version) -> NDArray[np.float32]:
    """The latent (Z,) that an end names.  Raises ProblemError if it names two or none, or one of another size."""
    size = version.artifact.latent
    if (end.seed is None) == (end.latent is None):
        bound = "an object with either seed or latent"
        raise invalid([{"field": field, "detail": f"{field} must be {bound}", "bound": bound}])
    if end.seed is not None:
        latent: NDArray[np.float32] = version.engine.latents(end.seed, end.first, 1)[0, :size]
        return latent
    assert end.latent is not None
    if len(end.latent) != size:
        field, bound = f"{field}.latent", f"an array of {size} numbers"
        detail = f"{field} must be {bound}, got {len(end.latent)}"
        raise invalid([{"field": field, "detail": detail, "bound": bound, "given": given(end.latent)}])
    return np.array(end.latent, dtype=np.float32)


def label_of(wanted: InterpolateRequest, version: Version) -> str | None:
    """The label of every step: the one asked for, else that of the string where the way begins; None without labels.

    Raises ProblemError if the model has no such label, or if it begins at a latent, which has none.
    """
    labels, start = version.artifact.labels, wanted.start
    check_label(version, wanted.label, needed=start.seed is None)
    if not labels or wanted.label is not None:
        return wanted.label
    assert start.seed is not None
    return labels.names_of(version.engine.latents(start.seed, start.first, 1))[0]
