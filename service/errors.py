"""Every error of the service as a problem (RFC 9457): what, the bound, what was given, what to do.

    ProblemError                 raised by the service's own code
    batching.QueueFullError ...  raised below it, which knows nothing of HTTP; given their form here

No text of a request is ever repeated: a value is shown if it is a number, and else named by its kind.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.batching import EngineError, NotReadyError, QueueFullError
from service.registry import ClientGoneError

logger = logging.getLogger("charwgan.service")

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its status, its title, and what a client can do about it."""

    status: int
    title: str
    advice: str


KINDS: Mapping[str, Kind] = {
    "malformed-body": Kind(400, "The body is not a JSON object", "Send one JSON object in UTF-8."),
    "not-found": Kind(404, "There is nothing here", "See /docs for the paths."),
    "method-not-allowed": Kind(405, "The method does not fit the path", "Use a method that Allow names."),
    "body-timeout": Kind(408, "The body came too slowly", "Send the whole body at once."),
    "body-too-large": Kind(413, "The body is too large", "Send a smaller body."),
    "unsupported-media-type": Kind(415, "The body is not declared as JSON", "Say Content-Type: application/json."),
    "invalid-field": Kind(422, "A field is out of bounds", "Correct the fields that errors names."),
    "queue-full": Kind(429, "The queue is full", "Repeat the request after Retry-After seconds."),
    "client-gone": Kind(499, "The client has gone", "Nobody reads this answer."),
    "engine-failed": Kind(500, "The model failed on this request", "Repeat it once; then look at the log."),
    "internal-error": Kind(500, "An error in the service", "Look at the service's log."),
    "not-ready": Kind(503, "The model takes no requests now", "Wait until /readyz answers 200."),
}
HTTP_KINDS = {404: "not-found", 405: "method-not-allowed"}


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

    def response(self) -> Response:
        """The answer itself."""
        kind = KINDS[self.kind]
        content = {"type": f"/docs#{self.kind}", "title": kind.title, "status": kind.status, "detail": self.detail}
        if self.errors:
            content["errors"] = self.errors
        return Response(json.dumps(content), kind.status, headers=self.headers, media_type=MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Let every error of an application leave as a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return as_problem(request, error).response()

    for kind in (
        ProblemError,
        QueueFullError,
        NotReadyError,
        EngineError,
        ClientGoneError,
        ClientDisconnect,
        HTTPException,
        Exception,
    ):
        app.add_exception_handler(kind, answer)


def as_problem(request: Request, error: Exception) -> ProblemError:
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
        case ClientGoneError() | ClientDisconnect():
            return ProblemError("client-gone", "the client closed its connection")
        case HTTPException(status_code=404 | 405):
            return _wrong_address(request, error)
    return ProblemError("internal-error", "an error in the service, which its log describes")


def _wrong_address(request: Request, error: HTTPException) -> ProblemError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return ProblemError("method-not-allowed", f"this path answers to {allowed}", headers=error.headers)
    return ProblemError("not-found", "no such path: /docs lists them")
