"""Every error of the service as a problem (RFC 9457): what, the bound, what was given, what to do.

    ProblemError                 raised by the service's own code
    batching.QueueFullError ...  raised below it, which knows nothing of HTTP; given their form here

No text of a request is ever repeated: a value is shown if it is a number, and else named by its kind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from model.errors import InvalidConstraintError, UnsatisfiableError
from service.limits import RateLimitedError
from service.registry import RefusedError, UnknownModelError
from service.ticket import DeadlineError, EngineError, NotReadyError, QueueFullError

MEDIA_TYPE = "application/problem+json"
KINDS_OF_VALUE = {bool: "a boolean", type(None): "null", dict: "an object"}


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its status, its title, and what a client can do about it."""

    status: int
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "malformed-request": Kind(400, "The request is not HTTP", "Send HTTP/1.1 as a client library does."),
    "malformed-body": Kind(
        400, "The body cannot be taken", "Send one JSON object in UTF-8, or nothing if detail says so."
    ),
    "unauthorized": Kind(401, "A key is needed", "Say Authorization: Bearer KEY."),
    "not-found": Kind(404, "There is nothing here", "See /docs for the paths."),
    "unknown-model": Kind(404, "No such model is served", "See /v1/models for those that are."),
    "method-not-allowed": Kind(405, "The method does not fit the path", "Use a method that Allow names."),
    "not-acceptable": Kind(406, "No such form of the answer", "Accept one of the media types that detail names."),
    "header-timeout": Kind(408, "The request came too slowly", "Send the whole head of the request at once."),
    "body-timeout": Kind(408, "The body came too slowly", "Send the whole body at once."),
    "model-refused": Kind(409, "The model cannot be used", "See detail, and the service's log."),
    "body-too-large": Kind(413, "The body is too large", "Send a smaller body."),
    "unsupported-media-type": Kind(
        415, "The body is not declared as plain JSON", "Say Content-Type: application/json."
    ),
    "invalid-field": Kind(422, "A field is out of bounds", "Correct the fields that errors names."),
    "unsatisfiable": Kind(422, "No string can meet the constraints", "Loosen the constraints that errors names."),
    "too-many-attempts": Kind(422, "The constraints were not met", "Loosen them, or raise max_attempts."),
    "rate-limited": Kind(429, "Too many strings for this key", "Repeat the request after Retry-After seconds."),
    "queue-full": Kind(429, "The queue is full", "Repeat the request after Retry-After seconds."),
    "headers-too-large": Kind(431, "The head of the request is too large", "Send fewer and shorter headers."),
    "client-gone": Kind(499, "The client has gone", "Nobody reads this answer."),
    "engine-failed": Kind(500, "The model failed on this request", "Repeat it once; then look at the log."),
    "internal-error": Kind(500, "An error in the service", "Look at the service's log."),
    "not-ready": Kind(503, "The model takes no requests now", "Wait until /readyz answers 200."),
    "too-many-connections": Kind(503, "Too many connections", "Use fewer connections, or try again later."),
    "deadline-exceeded": Kind(503, "The answer was not made in time", "Ask for fewer strings, or try again later."),
}


class ClientGoneError(Exception):
    """The client closed its connection before it had its answer."""


class ProblemError(Exception):
    """An answer that is an error.

    kind: a key of KINDS.  errors: for each field that is wrong {"field", "detail", "bound", "given"}.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors, self.headers = kind, detail, errors, headers

    def content(self) -> dict[str, Any]:
        """The problem as JSON has it."""
        kind = KINDS[self.kind]
        content = {"type": f"/docs#{self.kind}", "title": kind.title, "status": kind.status, "detail": self.detail}
        if self.errors:
            content["errors"] = self.errors
        return content

    def response(self) -> Response:
        """The answer itself."""
        status = KINDS[self.kind].status
        return Response(json.dumps(self.content()), status, headers=self.headers, media_type=MEDIA_TYPE)


FORESEEN = (
    ProblemError,
    QueueFullError,
    NotReadyError,
    EngineError,
    DeadlineError,
    UnsatisfiableError,
    InvalidConstraintError,
    RateLimitedError,
    UnknownModelError,
    RefusedError,
    ClientGoneError,
    ClientDisconnect,
    HTTPException,
)


def add_handlers(app: FastAPI) -> None:
    """Let every error of an application leave as a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return refuse(request.scope, as_problem(error))

    for kind in (*FORESEEN, Exception):
        app.add_exception_handler(kind, answer)


def refuse(scope: Scope, problem: ProblemError) -> Response:
    """The answer to a request that is refused, which is counted."""
    scope["app"].state.serving.metrics.reject(problem.kind)
    return problem.response()


def as_problem(error: Exception) -> ProblemError:
    """The problem that an exception stands for; an unforeseen one is told nothing about."""
    match error:
        case ProblemError():
            return error
        case QueueFullError():
            detail = f"{error}: try again after {error.retry_after_s} s"
            return ProblemError("queue-full", detail, headers={"Retry-After": str(error.retry_after_s)})
        case NotReadyError():
            return ProblemError("not-ready", f"{error}: wait until /readyz answers 200", headers={"Retry-After": "1"})
        case EngineError():
            return ProblemError("engine-failed", f"{error}: the service goes on, and its log says why")
        case DeadlineError():
            detail = f"{error}: ask for fewer strings, or raise deadline_s"
            return ProblemError("deadline-exceeded", detail, headers={"Retry-After": "1"})
        case UnsatisfiableError() | InvalidConstraintError():
            kind = "unsatisfiable" if isinstance(error, UnsatisfiableError) else "invalid-field"
            facts = {"field": error.field, "detail": str(error), "bound": error.bound, "given": given(error.given)}
            return ProblemError(kind, str(error), errors=[facts])
        case RateLimitedError():
            detail = f"{error}: try again after {error.retry_after_s} s"
            return ProblemError("rate-limited", detail, headers=error.headers)
        case UnknownModelError():
            return ProblemError("unknown-model", str(error))
        case RefusedError():
            return ProblemError("model-refused", str(error))
        case ClientGoneError() | ClientDisconnect():
            return ProblemError("client-gone", "the client closed its connection")
        case HTTPException(status_code=404 | 405):
            return _wrong_address(error)
    return ProblemError("internal-error", "an error in the service, which its log describes")


def given(value: object) -> int | float | str:
    """A value as an answer may show it: a number itself, of anything else only the kind."""
    if isinstance(value, float):
        return value if math.isfinite(value) else "a number beyond floating point"
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else "an integer of more than 63 bits"
    if isinstance(value, str | list):
        kind = "a string" if isinstance(value, str) else "an array"
        return f"{kind} of {len(value)}"
    return KINDS_OF_VALUE.get(type(value), "a value of another kind")


def _wrong_address(error: HTTPException) -> ProblemError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return ProblemError("method-not-allowed", f"this path answers to {allowed}", headers=error.headers)
    return ProblemError("not-found", "no such path: /docs lists them")
