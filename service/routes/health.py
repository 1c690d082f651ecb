"""For orchestrators and monitors: whether to restart, to wait or to send requests; figures; what runs here."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from service import examples
from service.conventions import TEXT
from service.errors import ProblemError
from service.openapi import answers, problems
from service.schemas import Status, VersionResponse
from service.serving import OPENING_FAILED, Serving, serving_of

router = APIRouter()


def _identities(serving: Serving) -> list[dict[str, str]]:
    return [slot.active.identity for _, slot in sorted(serving.registry.slots.items())]


def _status(serving: Serving, status: str) -> Status:
    return Status.model_validate({"status": status, "models": _identities(serving)})


@router.get(
    "/livez",
    operation_id="livez",
    summary="Is the process alive?",
    response_description="It is.",
    responses=answers("alive"),
)
async def livez(request: Request) -> Status:
    """503 only if the model could not be opened, which no waiting cures."""
    serving = serving_of(request)
    if serving.registry.failure is not None:
        raise ProblemError("not-ready", OPENING_FAILED)
    return _status(serving, "alive")


@router.get(
    "/startupz",
    operation_id="startupz",
    summary="Has it started?",
    response_description="It has.",
    responses=answers("started"),
)
async def startupz(request: Request) -> Status:
    """503 until the first models are warm, and never again."""
    serving = serving_of(request)
    if reason := serving.why_not_started():
        raise ProblemError("not-ready", reason, headers={"Retry-After": "1"})
    return _status(serving, "started")


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Does it take requests?",
    response_description="It does.",
    responses=answers("ready"),
)
async def readyz(request: Request) -> Status:
    """503 until the models are warm, and again from the moment that the process is asked to end."""
    serving = serving_of(request)
    if reason := serving.why_not_ready():
        raise ProblemError("not-ready", reason, headers={"Retry-After": "1"})
    return _status(serving, "ready")


FIGURES: dict[str, Any] = {
    "text/plain": {"example": examples.METRICS},
    "application/openmetrics-text": {"schema": TEXT, "example": f"{examples.METRICS}# EOF\n"},
}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_description="The figures, as OpenMetrics where Accept asks for it.",
    response_class=PlainTextResponse,
    responses={200: {"content": FIGURES}, **problems()},
)
async def metrics(request: Request) -> Response:
    """Requests, strings, the queue, the engine and the process, in base units."""
    body, media_type = serving_of(request).metrics.render(request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


@router.get(
    "/version",
    operation_id="version",
    summary="What runs here",
    response_description="Versions.",
    responses=answers("version"),
)
async def version(request: Request) -> VersionResponse:
    """Of charwgan, of Python, and of the models."""
    serving = serving_of(request)
    return VersionResponse.model_validate(
        {
            "version": version_of("charwgan"),
            "python": platform.python_version(),
            "engine": serving.settings.engine,
            "models": _identities(serving),
        }
    )
