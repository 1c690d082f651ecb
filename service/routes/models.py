"""``/v1/models``: what is served."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from model.novelty import HASHES
from service.openapi import answers
from service.schemas import ModelDetails, ModelList
from service.serving import serving_of
from service.version import Version

router = APIRouter()


@router.get(
    "/v1/models",
    operation_id="list_models",
    summary="The models that are served",
    response_description="Their names and digests.",
    responses=answers("models"),
)
async def list_models(request: Request) -> ModelList:
    """Every model that a request may name, and which of them is the default."""
    registry = serving_of(request).registry
    return ModelList.model_validate(
        {"models": [summarize(slot.active, registry.default) for _, slot in sorted(registry.slots.items())]}
    )


@router.get(
    "/v1/models/{name}",
    operation_id="describe_model",
    summary="A model",
    response_description="What it is.",
    responses=answers("model", "not-found", "unknown-model"),
)
async def describe_model(request: Request, name: str) -> ModelDetails:
    """Its alphabet and length, how it was made, its scores and its card."""
    registry = serving_of(request).registry
    version = registry.find(name)
    artifact = version.artifact
    return ModelDetails.model_validate(
        {
            **summarize(version, registry.default),
            "alphabet": artifact.alphabet.characters,
            "latent": artifact.latent,
            "labels": artifact.labels.listed() or None,
            "novelty": HASHES in artifact.digests,
            "config": artifact.config,
            "metrics": artifact.metrics,
            "card": artifact.card,
        }
    )


def summarize(version: Version, default: str | None) -> dict[str, Any]:
    """What a list says of a model."""
    artifact = version.artifact
    return {
        **version.identity,
        "default": version.name == default,
        "length": artifact.alphabet.length,
        "symbols": artifact.alphabet.size,
        "variant": str(artifact.config.get("variant", "unknown")),
        "critic": artifact.judges,
    }
