"""What can go wrong; the package draws it as one tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.errors import CharwganError


class ClientError(CharwganError):
    """Base of what a call can raise.  retry_after_s: seconds after which the service says to ask again."""

    retry_after_s: float | None = None


class UnreachableError(ClientError):
    """No connection came about, so that nothing was sent."""


class CutOffError(ClientError):
    """The connection ended, or fell silent, before the answer was whole."""


class ModelChangedError(ClientError):
    """A stream broke, and when it was taken up again another model made the strings."""


class AnswerError(ClientError):
    """The answer is none that this service gives; perhaps something else listens at that address."""


class ProblemError(ClientError):
    """An answer that is an error.

    status: of HTTP.  kind: such as "invalid-field", "" if the answer names none.
    errors: for each field that is wrong {"field", "detail", "bound", "given"}.
    """

    def __init__(self, status: int, kind: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(f"{detail} (HTTP {status})")
        self.status, self.kind, self.detail, self.errors = status, kind, detail, errors


class RateLimitedError(ProblemError):
    """429: the key's rate is used up, or the queue is full."""


class NotReadyError(ProblemError):
    """503: the service takes no requests now, or had no time for this one; 502, 504: a proxy says that of it."""
