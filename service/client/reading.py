"""How answers are read, and what error each other answer is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.client.errors import (
    AnswerError,
    ClientError,
    CutOffError,
    NotReadyError,
    ProblemError,
    RateLimitedError,
    UnreachableError,
)
from service.client.results import Generated, Interpolated, Scored

Reply = httpx.Response | bytes | httpx.RequestError | None  # what comes of a step; see service.client.scripts


def response_of(reply: Reply) -> httpx.Response:
    """The response of 200.  Raises the ClientError that another reply stands for."""
    if isinstance(reply, httpx.RequestError):
        raise _broken(reply)
    assert isinstance(reply, httpx.Response)
    if reply.status_code >= 400:
        raise _problem(reply)
    if reply.status_code != 200:
        raise AnswerError(f"{address_of(reply.request)} answers with HTTP {reply.status_code}, where 200 is due")
    return reply


def bytes_of(reply: Reply) -> bytes:
    """The bytes that were read on.  Raises the ClientError that another reply stands for."""
    if isinstance(reply, httpx.RequestError):
        raise _broken(reply)
    assert isinstance(reply, bytes)
    return reply


def address_of(request: httpx.Request) -> str:
    """The address of a request, without what may be secret in it."""
    return str(request.url.copy_with(userinfo=b"", query=None))


def _broken(error: httpx.RequestError) -> ClientError:
    address, reason = address_of(error.request), str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return UnreachableError(f"cannot reach {address}: {reason}; does the service run there?")
    return CutOffError(f"the answer of {address} was not whole: {reason}")


def _problem(response: httpx.Response) -> ProblemError:
    try:
        content = response.json()
    except ValueError:
        content = None
    content = content if isinstance(content, dict) else {"title": response.reason_phrase}
    problem = problem_of(content, response.status_code)
    problem.retry_after_s = _seconds(response.headers)
    return problem


def problem_of(content: Mapping[str, Any], status: int) -> ProblemError:
    """The error that a problem (RFC 9457) describes."""
    detail = content.get("detail") or content.get("title") or "an error that is not described"
    form = RateLimitedError if status == 429 else NotReadyError if status in (502, 503, 504) else ProblemError
    return form(status, str(content.get("type", "")).rpartition("#")[2], str(detail), content.get("errors") or ())


def _seconds(headers: Mapping[str, str]) -> float | None:
    """What Retry-After says, a number of seconds or a date; None if it is neither."""
    retry_after = headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", retry_after):
        return float(retry_after)
    until = _date(retry_after)
    # From the time that the answer gives, where it does: the clock here may be another.
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)


@contextmanager
def understanding() -> Iterator[None]:
    """Around the reading of an answer: one of another shape becomes an AnswerError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(
            f"the answer is none of this service ({type(error).__name__}): is the address right?"
        ) from error


def read_generated(content: Any) -> Generated:
    """The answer to /v1/generate."""
    texts, model = tuple(content["texts"]), content["model"]
    attempted, accepted = (content.get(name, len(texts)) for name in ("attempted", "accepted"))
    identity = content["seed"], content.get("first", 0), model["name"], model["digest"]
    further = (content.get(name) for name in ("scores", "latents", "labels", "refused"))
    return Generated(texts, *identity, attempted, accepted, *further)


def read_scored(content: Any) -> Scored:
    """The answer to /v1/score."""
    model = content["model"]
    return Scored(tuple(content["scores"]), content.get("percentiles"), model["name"], model["digest"])


def read_interpolated(content: Any) -> Interpolated:
    """The answer to /v1/interpolate."""
    further = {key: value for key, value in content.items() if key not in ("texts", "model")}
    return Interpolated(tuple(content["texts"]), content["model"]["name"], content["model"]["digest"], further)
