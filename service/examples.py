"""What the description shows: requests with the answers that they get, and every kind of problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.errors import ProblemError


class Exchange(NamedTuple):
    """The body of a request, and that of its answer."""

    summary: str
    body: Mapping[str, Any]
    answer: Mapping[str, Any]


DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NEWER = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
MODEL = {"name": "names", "digest": DIGEST}
NAMES = ["marielle", "jonas", "adina", "tobiah", "ines"]


def _made(texts: list[str], *, seed: int = 42, attempted: int | None = None, **more: object) -> dict[str, Any]:
    counts = {"attempted": attempted or len(texts), "accepted": len(texts)}
    return {"texts": texts, "seed": seed, "first": 0, "model": MODEL, **counts, **more}


GENERATE = {
    "five": Exchange(
        "Five strings", {"n": 5}, _made(["leonie", "amadou", "karla", "ruben", "silja"], seed=5_870_311_920_544_217)
    ),
    "seeded": Exchange("The same five strings every time", {"n": 5, "seed": 42}, _made(NAMES)),
    "constrained": Exchange(
        "Short ones, none twice",
        {"n": 5, "seed": 42, "max_length": 6, "unique": True},
        _made([*NAMES[1:], "mira"], attempted=8, refused={"max_length": 2, "unique": 1}),
    ),
    "sampled": Exchange(
        "Drawn and not argmaxed",
        {"n": 5, "seed": 42, "mode": "sample", "temperature": 0.7},
        _made(["mariella", "jonas", "adira", "tobias", "ines"]),
    ),
    "scored": Exchange(
        "With the critic's scores", {"n": 2, "seed": 42, "scores": True}, _made(NAMES[:2], scores=[1.25, 0.875])
    ),
}
NDJSON = (
    '{"index":0,"text":"marielle"}\n{"index":1,"text":"jonas"}\n{"summary":{"seed":42,"first":0,'
    f'"model":{{"name":"names","digest":"{DIGEST}"}},"attempted":2,"accepted":2}}}}\n'
)
CSV = "index,text\r\n0,marielle\r\n1,jonas\r\n"
PLAIN = "marielle\njonas\n"

SCORE = {
    "two": Exchange(
        "A likely string and an unlikely one",
        {"texts": ["marielle", "xqzzk"]},
        {
            "scores": [1.25, -3.5],
            "percentiles": {"real": [71.04, 0.35], "generated": [88.12, 1.27]},
            "model": MODEL,
        },
    )
}
INTERPOLATE = {
    "seeds": Exchange(
        "From one seed to another",
        {"from": {"seed": 7}, "to": {"seed": 8}, "steps": 5},
        {"texts": ["tamina", "tamira", "mamira", "mariam", "mariah"], "model": MODEL},
    )
}

SUMMARY = {**MODEL, "default": True, "length": 16, "symbols": 28, "variant": "wgan-gp", "critic": True}
SERVED = {"name": "names", "active": DIGEST, "previous": None, "staged": None}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "models": {"models": [SUMMARY]},
    "model": {
        **SUMMARY,
        "alphabet": "abcdefghijklmnopqrstuvwxyz",
        "latent": 128,
        "labels": None,
        "novelty": True,
        "config": {"kind": "text", "variant": "wgan-gp", "length": 16, "symbols": 28, "rounds": 20000},
        "metrics": {"round": 20000, "critic_scores": {"real": [-2.5, 0.75, 3.25], "generated": [-3.0, 0.5, 2.75]}},
        "card": "# names\n\nWrites names of at most 16 characters.\n",
    },
    **{status: {"status": status, "models": [MODEL]} for status in ("alive", "started", "ready")},
    "version": {"version": "0.1.0", "python": "3.11.7", "engine": "onnx", "models": [MODEL]},
    "versions": {"models": [SERVED]},
    "loaded": {**SERVED, "staged": NEWER},
    "activated": {**SERVED, "active": NEWER, "previous": DIGEST},
    "rolled-back": {**SERVED, "previous": NEWER},
}
METRICS = (
    "# HELP charwgan_queue_strings Strings waiting.\n# TYPE charwgan_queue_strings gauge\ncharwgan_queue_strings 0.0\n"
)


def _of_field(kind: str, field: str, detail: str, **facts: object) -> ProblemError:
    return ProblemError(kind, detail, errors=[{"field": field, "detail": detail, **facts}])


PROBLEMS: Mapping[str, ProblemError] = {
    problem.kind: problem
    for problem in (
        ProblemError("malformed-request", "the request is no HTTP/1.1 that can be read in one way only"),
        ProblemError("malformed-body", "the body must be a JSON object, got an array of 2"),
        ProblemError("unauthorized", "a key is needed: say Authorization: Bearer KEY"),
        ProblemError("not-found", "no such path: /docs lists them"),
        ProblemError("unknown-model", "no model of that name is served: there are names"),
        ProblemError("method-not-allowed", "this path answers to POST"),
        ProblemError(
            "not-acceptable",
            "the answer can be had as application/json, application/x-ndjson, text/plain, text/csv",
        ),
        ProblemError("header-timeout", "the head of a request must arrive within 10 s"),
        ProblemError("body-timeout", "the body must arrive within 10 s"),
        ProblemError("model-refused", "no other version is loaded: load one first"),
        ProblemError("body-too-large", "the body must have at most 65536 bytes"),
        ProblemError("unsupported-media-type", "Content-Type must be application/json, in utf-8 if it says a charset"),
        _of_field(
            "invalid-field",
            "temperature",
            "temperature must be a number above 0 and at most 100, got -1",
            bound="a number above 0 and at most 100",
            given=-1,
        ),
        _of_field(
            "unsatisfiable",
            "min_length",
            "min_length must be at most max_length, 4, got 5",
            bound="at most 4",
            given=5,
        ),
        ProblemError(
            "too-many-attempts",
            "none of 100 strings met the constraints, of which pattern refused 100: loosen them or raise max_attempts",
            errors=[
                {
                    "field": "pattern",
                    "detail": "none of 100 strings met the constraints, of which pattern refused 100",
                }
            ],
        ),
        ProblemError(
            "rate-limited", "64 strings were asked for, 30 of 1000 are left in this minute: try again after 40 s"
        ),
        ProblemError(
            "queue-full", "19990 strings wait already, at most 20000 may, 64 were asked for: try again after 2 s"
        ),
        ProblemError("headers-too-large", "the request line and headers must have at most 32768 bytes together"),
        ProblemError("client-gone", "the client closed its connection"),
        ProblemError("engine-failed", "the engine failed on this request: the service goes on, and its log says why"),
        ProblemError("internal-error", "an error in the service, which its log describes"),
        ProblemError("not-ready", "the model is warming up: try again soon"),
        ProblemError("too-many-connections", "at most 4096 connections may be open: use fewer, or try again later"),
        ProblemError(
            "deadline-exceeded", "the answer was not made within 5 s: ask for fewer strings, or raise deadline_s"
        ),
    )
}
