"""``POST /v1/score``: how real strings look to the critic."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from model.artifact import Artifact
from service.body import read_body
from service.forms import JSON, encode
from service.jobs import Scoring
from service.openapi import QUEUED, problems, reference
from service.schemas import ScoreRequest, ScoreResponse
from service.serving import serving_of

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "A score for each text.", "content": {JSON.media_type: {"schema": reference(ScoreResponse)}}},
    **problems(*QUEUED),
}
EXAMPLES = {"two": {"summary": "A likely string and an unlikely one", "value": {"texts": ["marielle", "xqzzk"]}}}


def router(schema: type[ScoreRequest]) -> APIRouter:
    """The route, for requests of this schema."""
    routes = APIRouter()
    content = {JSON.media_type: {"schema": reference(schema), "examples": EXAMPLES}}

    @routes.post(
        "/v1/score",
        operation_id="score",
        summary="How real strings look to the critic",
        responses=ANSWERS,
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def score(request: Request) -> Response:
        """The critic's score of each text: a score and not a probability, to be compared within one model alone.

        Texts are normalised to NFC and cut at the model's length; characters that it does not know count as unknown.
        The percentiles are the shares of held-out and of generated strings that score lower.
        """
        serving = serving_of(request)
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        await serving.admit(request, len(wanted.texts))
        deadline = perf_counter() + (wanted.deadline_s or serving.settings.deadline_s)
        outcome = await serving.answer(Scoring(version, wanted.texts, deadline), request)
        content = {
            "scores": outcome.scores,
            "percentiles": percentiles(version.artifact, outcome.scores),
            "model": version.identity,
        }
        return Response(encode(content), media_type=JSON.media_type)

    return routes


def percentiles(artifact: Artifact, scores: list[float]) -> dict[str, list[float]] | None:
    """Each score's place among those of real and of generated strings, in percent; None if the model does not say."""
    quantiles = artifact.metrics.get("critic_scores")
    if not isinstance(quantiles, dict):
        return None
    places = np.linspace(0.0, 100.0, len(quantiles["real"]))
    return {kind: np.interp(scores, quantiles[kind], places).round(2).tolist() for kind in ("real", "generated")}
