"""The forms of an answer: one JSON object, or a stream of NDJSON, CSV or plain lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import ProblemError
from service.jobs import Outcome

encode: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True)
class Form:
    """A media type, and whether it is a stream.  lines: what it makes of some strings."""

    media_type: str
    lines: Callable[[Outcome], str] | None = None

    @property
    def streams(self) -> bool:
        """Whether strings leave as they are made."""
        return self.lines is not None


def _ndjson(outcome: Outcome) -> str:
    if not outcome.scores and not outcome.latents:
        pairs = zip(outcome.places, map(encode, outcome.texts), strict=True)
        return "".join([f'{{"index":{index},"text":{text}}}\n' for index, text in pairs])
    rows: list[dict[str, Any]] = [
        {"index": index, "text": text} for index, text in zip(outcome.places, outcome.texts, strict=True)
    ]
    for name, values in (("score", outcome.scores), ("latent", outcome.latents)):
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    return "".join([f"{encode(row)}\n" for row in rows])


def _csv(outcome: Outcome) -> str:
    out = io.StringIO()
    columns: list[Sequence[Any]] = [outcome.places, outcome.texts]
    if outcome.scores:
        columns.append(outcome.scores)
    csv.writer(out, lineterminator="\r\n").writerows(zip(*columns, strict=True))
    return out.getvalue()


def _plain(outcome: Outcome) -> str:
    return "".join([f"{text}\n" for text in outcome.texts])


JSON = Form("application/json")
NDJSON = Form("application/x-ndjson", _ndjson)
CSV = Form("text/csv", _csv)
PLAIN = Form("text/plain", _plain)
FORMS = {form.media_type: form for form in (JSON, NDJSON, CSV, PLAIN)}
RANGES = {"*/*": JSON, "application/*": JSON, "text/*": PLAIN}


def acceptable(accept: str) -> Form:
    """The form that an Accept header likes best, JSON where it likes all alike.  Raises ProblemError: 406."""
    if accept in ("*/*", JSON.media_type):
        return JSON
    best, most = None, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        form = FORMS.get(name) or RANGES.get(name)
        quality = _quality(parameters)
        if form is not None and quality > most:
            best, most = form, quality
    if best is None:
        raise ProblemError("not-acceptable", f"the answer can be had as {', '.join(FORMS)}")
    return best


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


class Stream(Response):
    """A body that leaves in pieces.  ended: called however it ends, also before its first piece."""

    def __init__(
        self, pieces: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str], ended: Callable[[], None]
    ) -> None:
        self.status_code, self.background, self.media_type = 200, None, media_type
        self._pieces, self._ended = pieces, ended
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head at once and each piece as it comes."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._pieces.aclose()
            self._ended()
