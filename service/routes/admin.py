"""``/admin``: hot reload, on a port and behind a key of its own.

Models are named, and looked up in the models folder alone: no path and no address is ever taken from a request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from service.errors import ProblemError
from service.openapi import answers
from service.registry import Slot
from service.schemas import AdminModel, AdminModels
from service.serving import serving_of


async def no_body(request: Request) -> None:
    """Refuse a body, for what it asks would be passed over in silence.  Raises ProblemError: 400."""
    if body := await request.body():
        detail = f"this path takes no body, got one of {len(body)} bytes: leave it out"
        raise ProblemError("malformed-body", detail)


router = APIRouter(dependencies=[Depends(no_body)])
UNREAD = ("malformed-body", "body-timeout")
UNNAMED = (*UNREAD, "not-found", "unknown-model")
REFUSALS = (*UNNAMED, "model-refused")


@router.get(
    "/admin/models",
    operation_id="admin_models",
    summary="Every version that is held",
    response_description="By model.",
    responses=answers("versions", *UNREAD),
)
async def admin_models(request: Request) -> AdminModels:
    """The version of each model that answers, the one before it, and the one that is loaded to follow."""
    slots = serving_of(request).registry.slots
    return AdminModels.model_validate({"models": [_describe(name, slot) for name, slot in sorted(slots.items())]})


@router.get(
    "/admin/models/{name}",
    operation_id="admin_model",
    summary="The versions of a model that are held",
    response_description="The model's versions.",
    responses=answers("loaded", *UNNAMED),
)
async def admin_model(request: Request, name: str) -> AdminModel:
    """The one that answers, the one before it, and the one that is loaded to follow."""
    return AdminModel.model_validate(_describe(name, serving_of(request).registry.slot(name)))


@router.post(
    "/admin/models/{name}/load",
    operation_id="load_model",
    summary="Load a model's folder again",
    response_description="The model's versions.",
    responses=answers("loaded", *REFUSALS),
)
async def load_model(request: Request, name: str) -> AdminModel:
    """Read, verify, open and warm up what is in its folder now; it answers when it is activated.

    A model that was not served yet answers at once.
    """
    registry = serving_of(request).registry
    await registry.load(name)
    return AdminModel.model_validate(_describe(name, registry.slots[name]))


@router.post(
    "/admin/models/{name}/activate",
    operation_id="activate_model",
    summary="Let the loaded version answer",
    response_description="The model's versions.",
    responses=answers("activated", *REFUSALS),
)
async def activate_model(request: Request, name: str) -> AdminModel:
    """From the next request on.  Those that are being answered keep the version that they began with."""
    return AdminModel.model_validate(_describe(name, serving_of(request).registry.activate(name)))


@router.post(
    "/admin/models/{name}/rollback",
    operation_id="rollback_model",
    summary="Let the version before answer again",
    response_description="The model's versions.",
    responses=answers("rolled-back", *REFUSALS),
)
async def rollback_model(request: Request, name: str) -> AdminModel:
    """And keep the other one, so that a second rollback undoes the first."""
    return AdminModel.model_validate(_describe(name, serving_of(request).registry.rollback(name)))


def _describe(name: str, slot: Slot) -> dict[str, Any]:
    return {"name": name, **{role: version.artifact.digest for role, version in slot.roles()}}
