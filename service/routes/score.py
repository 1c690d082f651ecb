"""``POST /v1/score``: how real strings look to the critic."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from model.artifact import Artifact
from service import examples
from service.abilities import check_label, check_scores
from service.body import read_body
from service.forms import Whole
from service.jobs import Scoring
from service.openapi import queued
from service.schemas import ScoreRequest, ScoreResponse
from service.serving import serving_of


def router(schema: type[ScoreRequest]) -> APIRouter:
    """The route, for requests of this schema."""

    async def score(request: Request) -> Response:
        """The critic's score of each text: a score and not a probability, to be compared within one model alone.

        Texts are normalised to NFC and cut at the model's length; characters that it does not know count as unknown.
        The percentiles are the shares of held-out and of generated strings that score lower.
        """
        serving = serving_of(request)
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        check_scores(version, "model")
        check_label(version, wanted.label, needed=version.artifact.labels.judged)
        await serving.admit(request, len(wanted.texts))
        deadline = perf_counter() + (wanted.deadline_s or serving.settings.deadline_s)
        outcome = await serving.answer(Scoring(version, wanted.texts, deadline, wanted.label), request)
        content = {
            "scores": outcome.scores,
            "percentiles": percentiles(version.artifact, outcome.scores),
            "model": version.identity,
        }
        return Whole(content)

    return queued(
        "/v1/score",
        score,
        examples.SCORE,
        summary="How real strings look to the critic",
        body=schema,
        answer=ScoreResponse,
        told="A score for each text.",
    )


def percentiles(artifact: Artifact, scores: list[float]) -> dict[str, list[float]] | None:
    """Each score's place among those of real and of generated strings, in percent; None if the model does not say."""
    quantiles = artifact.metrics.get("critic_scores")
    if not isinstance(quantiles, dict):
        return None
    places = np.linspace(0.0, 100.0, len(quantiles["real"]))
    return {kind: np.interp(scores, quantiles[kind], places).round(2).tolist() for kind in ("real", "generated")}
