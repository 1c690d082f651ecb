"""``/livez`` and ``/readyz``: whether to restart the process, and whether to send it requests."""

from __future__ import annotations

from fastapi import APIRouter, Request

from service.errors import ProblemError
from service.openapi import problems
from service.registry import serving_of
from service.schemas import Status

router = APIRouter()


@router.get(
    "/livez",
    operation_id="livez",
    summary="Is the process alive?",
    response_description="It is.",
    responses=problems("not-ready", "internal-error"),
)
async def livez(request: Request) -> Status:
    """503 only if the model could not be opened, which no waiting cures."""
    serving = serving_of(request)
    if serving.batcher.failed:
        raise ProblemError("not-ready", "the model could not be opened: the service's log says why")
    return Status.model_validate({"status": "alive", "model": serving.identity})


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Does it take requests?",
    response_description="It does.",
    responses=problems("not-ready", "internal-error"),
)
async def readyz(request: Request) -> Status:
    """503 until the model is warm, and again from the moment that the process is asked to end."""
    serving = serving_of(request)
    if reason := serving.why_not_ready():
        raise ProblemError("not-ready", reason, headers={"Retry-After": "1"})
    return Status.model_validate({"status": "ready", "model": serving.identity})
