"""``POST /v1/generate``: strings of a seed, as one object or as a stream."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from model.decoding import Decoding
from service.body import invalid, read_body
from service.errors import ProblemError, as_problem
from service.forms import CSV, JSON, NDJSON, PLAIN, Form, Stream, acceptable, encode
from service.jobs import Generation, Outcome, Version
from service.middleware import Endpoint
from service.openapi import QUEUED, problems, reference
from service.schemas import MAX_SEED, GenerateRequest, GenerateResponse
from service.serving import Serving, serving_of

PATH = "/v1/generate"
WINDOW = 1024  # strings of a stream that may be ahead of its reader
ATTEMPTS_A_STRING = 100
MOST_UNIQUE = 1_000_000  # strings of one stream that can be told apart in memory

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The strings.",
        "headers": {
            "Charwgan-Seed": {"description": "The seed, given or drawn.", "schema": {"type": "integer"}},
            "Charwgan-Model-Digest": {"description": "The model's digest.", "schema": {"type": "string"}},
        },
        "content": {
            JSON.media_type: {"schema": reference(GenerateResponse)},
            NDJSON.media_type: {
                "schema": {
                    "type": "string",
                    "description": "A StreamedText a line, in order; the last line is a StreamedSummary, or has the "
                    "key error with a ProblemDetails.",
                },
                "example": '{"index":0,"text":"marielle"}\n{"summary":{"seed":42,"first":0,"model":{"name":"names",'
                '"digest":"9f86d081884c7d65..."},"attempted":1,"accepted":1}}\n',
            },
            CSV.media_type: {"schema": {"type": "string"}, "example": "index,text\r\n0,marielle\r\n"},
            PLAIN.media_type: {"schema": {"type": "string"}, "example": "marielle\n"},
        },
    },
    **problems(*QUEUED, "not-acceptable", "unsatisfiable", "too-many-attempts"),
}
EXAMPLES = {
    "five": {"summary": "Five strings", "value": {"n": 5}},
    "seeded": {"summary": "The same five strings every time", "value": {"n": 5, "seed": 42}},
    "constrained": {"summary": "Short ones, none twice", "value": {"n": 5, "max_length": 6, "unique": True}},
    "sampled": {"summary": "Drawn and not argmaxed", "value": {"n": 5, "mode": "sample", "temperature": 0.7}},
}


def endpoint(schema: type[GenerateRequest]) -> Endpoint:
    """What answers requests of this schema."""

    async def generate(request: Request) -> Response:
        """Make n strings.  String i depends on the model, the seed and i alone, whoever else asks meanwhile.

        With constraints, candidates are tried in order from first on, and those that meet them are the answer.
        """
        serving = serving_of(request)
        accept = next((value for name, value in request.scope["headers"] if name == b"accept"), b"*/*")
        form = acceptable(accept.decode("latin-1"))
        wanted = await read_body(request, schema)
        version = serving.registry.find(wanted.model)
        _check(wanted, form, serving)
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
    routes = APIRouter()
    content = {JSON.media_type: {"schema": reference(schema), "examples": EXAMPLES}}
    routes.post(
        PATH,
        operation_id="generate",
        summary="New strings",
        responses=ANSWERS,
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )(answer)
    return routes


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
    if wanted.deadline_s is not None and form.streams:
        raise _conflict("deadline_s", f"deadline_s needs {JSON.media_type}: a stream has none", "absent for a stream")
    if wanted.label is not None:
        raise _conflict("label", "label needs a conditional model, and this one is not", "absent for this model")


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
        decoding=None if plain else Decoding((wanted.temperature or 1.0) if sampled else None, rules.mask),
        rules=rules if rules.rejects else None,
        max_attempts=most,
        scored=wanted.scores,
        shows_latents=wanted.latents,
        window=WINDOW if form.streams else None,
        **({} if form.streams else {"deadline": perf_counter() + (wanted.deadline_s or settings.deadline_s)}),
    )


def _made(job: Generation, attempted: int, accepted: int) -> dict[str, Any]:
    """What every answer says of how its strings came about."""
    return {
        "seed": job.seed,
        "first": job.first,
        "model": job.version.identity,
        "attempted": attempted,
        "accepted": accepted,
    }


def _headers(job: Generation) -> dict[str, str]:
    return {"Charwgan-Seed": str(job.seed), "Charwgan-Model-Digest": job.version.artifact.digest}


def _count(serving: Serving, job: Generation, outcome: Outcome) -> None:
    serving.metrics.count_strings(job.version.name, len(outcome.texts))
    if job.rules is not None:
        serving.metrics.count_attempts(outcome.attempted, len(outcome.texts))


def _whole(job: Generation, outcome: Outcome) -> Response:
    _require_some(job, outcome)
    content: dict[str, Any] = {"texts": outcome.texts, **_made(job, outcome.attempted, len(outcome.texts))}
    if job.scored:
        content["scores"] = outcome.scores
    if job.shows_latents:
        content["latents"] = outcome.latents
    return Response(encode(content), headers=_headers(job), media_type=JSON.media_type)


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
        attempted = accepted = 0
        if form is CSV:
            yield f"index,text{',score' if job.scored else ''}\r\n".encode()
        try:
            async for outcome in serving.stream(ticket, request):
                attempted += outcome.attempted
                accepted += len(outcome.texts)
                _count(serving, job, outcome)
                if outcome.texts:
                    yield form.lines(outcome).encode()
        except Exception as error:
            if form is not NDJSON:
                raise  # the connection is cut, which is how these forms tell
            problem = as_problem(error)
            serving.metrics.reject(problem.kind)
            yield f"{encode({'error': problem.content()})}\n".encode()
            return
        if form is NDJSON:
            yield f"{encode({'summary': _made(job, attempted, accepted)})}\n".encode()

    return Stream(
        pieces(), f"{form.media_type}; charset=utf-8", _headers(job), ended=lambda: serving.batcher.withdraw(ticket)
    )
