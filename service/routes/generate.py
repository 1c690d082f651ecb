"""``POST /v1/generate``: strings of a seed, as one object or as a stream."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.decoding import Decoding
from service import examples
from service.abilities import check_label, check_scores
from service.body import invalid, read_body
from service.conventions import TEXT
from service.errors import ProblemError, as_problem
from service.forms import CSV, JSON, NDJSON, PLAIN, Form, Stream, Whole, acceptable, encode
from service.headers import Headers
from service.jobs import Generation, Outcome
from service.middleware import Endpoint
from service.openapi import queued, reference
from service.schemas import (
    MAX_SEED,
    GenerateRequest,
    GenerateResponse,
    StreamedProblem,
    StreamedSummary,
    StreamedText,
)
from service.serving import Serving, serving_of
from service.version import Version

PATH = "/v1/generate"
WINDOW = 1024  # strings of a stream that may be ahead of its reader
ATTEMPTS_A_STRING = 100
MOST_UNIQUE = 1_000_000  # strings of one stream that can be told apart in memory

FORMS: dict[str, Any] = {
    NDJSON.media_type: {
        "schema": {
            "type": "array",
            "description": "A line each, as it is made; the summary, or a problem, comes last, and a stream that ends "
            "without either was cut off.",
            "items": {"oneOf": [reference(line) for line in (StreamedText, StreamedSummary, StreamedProblem)]},
        },
        "example": examples.NDJSON,
    },
    CSV.media_type: {"schema": TEXT, "example": examples.CSV},
    PLAIN.media_type: {"schema": TEXT, "example": examples.PLAIN},
}


def endpoint(schema: type[GenerateRequest]) -> Endpoint:
    """What answers requests of this schema."""

    async def generate(request: Request) -> Response:
        """Make n strings.  String i depends on the model, the seed and i alone, whoever else asks meanwhile.

        With constraints, candidates are tried in order from first on, and those that meet them are the answer.
        """
        serving = serving_of(request)
        form = acceptable(request.scope["charwgan.given"].get(b"accept", b""))
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        _check(wanted, form, serving)
        check_label(version, wanted.label)
        if wanted.scores:
            check_scores(version, "scores")
        job = _job(wanted, form, serving, version)
        await serving.admit(request, wanted.n)
        if form.streams:
            return await _streamed(job, form, serving, request)
        outcome = await serving.answer(job, request)
        _count(serving, job, outcome)
        return _whole(job, outcome)

    return generate


def router(schema: type[GenerateRequest], answer: Endpoint) -> APIRouter:
    """The route, for the description of the interface and for servers without ``Straight``."""
    return queued(
        PATH,
        answer,
        examples.GENERATE,
        "not-acceptable",
        "unsatisfiable",
        "too-many-attempts",
        summary="New strings",
        body=schema,
        answer=GenerateResponse,
        told="The strings.",
        forms=FORMS,
        carried=("Charwgan-Seed", "Charwgan-Model-Digest"),
    )


def _check(wanted: GenerateRequest, form: Form, serving: Serving) -> None:
    """What a field may be beside others.  Raises ProblemError: 422."""
    most = serving.settings.max_n
    if not form.streams and wanted.n > most:
        bound = f"an integer between 1 and {most}"
        detail = f"n must be {bound}, got {wanted.n}: ask for {NDJSON.media_type} in Accept to stream more"
        raise invalid([{"field": "n", "detail": detail, "bound": bound, "given": wanted.n}])
    if wanted.unique and wanted.n > MOST_UNIQUE:
        bound = f"at most {MOST_UNIQUE} where unique is true"
        detail = f"n must be {bound}, got {wanted.n}: every string has to be remembered"
        raise invalid([{"field": "n", "detail": detail, "bound": bound, "given": wanted.n}])
    if wanted.temperature is not None and wanted.mode != "sample":
        raise _conflict("temperature", "temperature needs mode sample", "absent, or mode sample")
    if wanted.scores and form is PLAIN:
        raise _conflict("scores", f"scores need another form than {PLAIN.media_type}", "false, or another Accept")
    if wanted.latents and form in (CSV, PLAIN):
        raise _conflict("latents", f"latents need {JSON.media_type} or {NDJSON.media_type}", "false, or another Accept")


def _conflict(field: str, detail: str, bound: str) -> ProblemError:
    return invalid([{"field": field, "detail": detail, "bound": bound}])


def _job(wanted: GenerateRequest, form: Form, serving: Serving, version: Version) -> Generation:
    settings = serving.settings
    rules = version.rules(wanted.constraints(), wanted.n)
    sampled = wanted.mode == "sample"
    plain = rules.mask is None and not sampled
    most = wanted.max_attempts or max(wanted.n, min(ATTEMPTS_A_STRING * wanted.n, settings.max_attempts))
    return Generation(
        version,
        # A seed is no secret, and asking the operating system for one would give the interpreter away each time.
        random.randint(0, MAX_SEED) if wanted.seed is None else wanted.seed,
        wanted.n,
        first=wanted.first,
        label=wanted.label,
        decoding=None if plain else Decoding((wanted.temperature or 1.0) if sampled else None, rules.mask),
        rules=rules if rules.rejects else None,
        max_attempts=most,
        scored=wanted.scores,
        shows_latents=wanted.latents,
        window=min(WINDOW, settings.max_strings_queued) if form.streams else None,
        deadline=perf_counter() + (wanted.deadline_s or (math.inf if form.streams else settings.deadline_s)),
    )


def _made(job: Generation, attempted: int, accepted: int, refused: Mapping[str, int]) -> dict[str, Any]:
    """What every answer says of how its strings came about."""
    content = {
        "seed": job.seed,
        "first": job.first,
        "model": job.version.identity,
        "attempted": attempted,
        "accepted": accepted,
    }
    return content if job.rules is None else {**content, "refused": refused}


def _headers(job: Generation) -> Headers:
    return (b"charwgan-seed", b"%d" % job.seed), (b"charwgan-model-digest", job.version.artifact.digest.encode())


def _count(serving: Serving, job: Generation, outcome: Outcome) -> None:
    serving.metrics.count_strings(job.version.name, len(outcome.texts))
    if job.rules is not None:
        serving.metrics.count_attempts(outcome.attempted, len(outcome.texts))


def _whole(job: Generation, outcome: Outcome) -> Response:
    _require_some(job, outcome)
    made = _made(job, outcome.attempted, len(outcome.texts), outcome.refused)
    content: dict[str, Any] = {"texts": outcome.texts, **made}
    if outcome.labels:
        content["labels"] = outcome.labels
    if job.scored:
        content["scores"] = outcome.scores
    if job.shows_latents:
        content["latents"] = outcome.latents
    return Whole(content, _headers(job))


def _require_some(job: Generation, outcome: Outcome) -> None:
    """Raises ProblemError if constraints let no string through."""
    if outcome.texts or not outcome.refused:
        return
    (worst, times), *_ = outcome.refused.most_common(1)
    detail = f"none of {outcome.attempted} strings met the constraints, of which {worst} refused {times}"
    raise ProblemError(
        "too-many-attempts",
        f"{detail}: loosen them or raise max_attempts",
        errors=[{"field": worst, "detail": detail}],
    )


async def _streamed(job: Generation, form: Form, serving: Serving, request: Request) -> Response:
    ticket = await serving.submit(job, request)  # here, so that a full queue is still a 429

    async def pieces() -> AsyncGenerator[bytes]:
        assert form.lines is not None
        attempted, accepted, refused = 0, 0, Counter[str]()
        if form is CSV:
            conditional = bool(job.version.artifact.labels)
            yield f"index,text{',label' * conditional}{',score' * job.scored}\r\n".encode()
        try:
            async for outcome in serving.stream(ticket, request):
                attempted += outcome.attempted
                accepted += len(outcome.texts)
                refused.update(outcome.refused)
                _count(serving, job, outcome)
                if outcome.texts:
                    yield form.lines(outcome).encode()
        except Exception as error:
            problem = as_problem(error)
            serving.metrics.reject(problem.kind)
            if form is not NDJSON:
                raise  # the connection is cut, which is how these forms tell
            yield f"{encode({'error': problem.content()})}\n".encode()
            return
        if form is NDJSON:
            yield f"{encode({'summary': _made(job, attempted, accepted, refused)})}\n".encode()

    return Stream(
        pieces(), f"{form.media_type}; charset=utf-8", _headers(job), ended=lambda: serving.end(ticket, request)
    )
