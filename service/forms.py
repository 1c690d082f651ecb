"""The forms of an answer: one JSON object, or a stream of NDJSON, CSV or plain lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import ProblemError
from service.headers import Headers
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
    if not outcome.labels and not outcome.scores and not outcome.latents:
        pairs = zip(outcome.places, map(encode, outcome.texts), strict=True)
        return "".join([f'{{"index":{index},"text":{text}}}\n' for index, text in pairs])
    rows: list[dict[str, Any]] = [
        {"index": index, "text": text} for index, text in zip(outcome.places, outcome.texts, strict=True)
    ]
    for name, values in (("label", outcome.labels), ("score", outcome.scores), ("latent", outcome.latents)):
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    return "".join([f"{encode(row)}\n" for row in rows])


def _csv(outcome: Outcome) -> str:
    out = io.StringIO()
    columns: list[Sequence[Any]] = [outcome.places, outcome.texts, outcome.labels, outcome.scores]
    csv.writer(out, lineterminator="\r\n").writerows(zip(*filter(None, columns), strict=True))
    return out.getvalue()


def _plain(outcome: Outcome) -> str:
    return "".join([f"{text}\n" for text in outcome.texts])


JSON = Form("application/json")
NDJSON = Form("application/x-ndjson", _ndjson)
CSV = Form("text/csv", _csv)
PLAIN = Form("text/plain", _plain)
FORMS = (JSON, NDJSON, PLAIN, CSV)  # of several that a client likes alike, the first
WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
OF_NO_WEIGHT = ("", "charset=utf-8", 'charset="utf-8"')  # parameters that every form meets


@lru_cache(maxsize=64)
def acceptable(accept: bytes) -> Form:
    """The form that an Accept header likes best (RFC 9110, 12.5.1); any, where it is empty.  Raises ProblemError: 406.

    A range that is malformed, or that asks for a variety there is not, is passed over.
    """
    parts = [part.split(";") for part in accept.decode("latin-1").lower().split(",") if part.strip()]
    weighed = [(name.strip(), _weight(parameters)) for name, *parameters in parts or [["*/*"]]]
    ranges = {name: weight for name, weight in weighed if weight is not None}
    (weight, *_), best = max(((_liking(form, ranges), form) for form in FORMS), key=itemgetter(0))
    if not weight:
        raise ProblemError("not-acceptable", f"the answer can be had as {', '.join(form.media_type for form in FORMS)}")
    return best


def _weight(parameters: Sequence[str]) -> float | None:
    """What a range with these parameters weighs; None if it is to be passed over."""
    for parameter in map(str.strip, parameters):
        if parameter.startswith("q="):
            return float(parameter[2:]) if WEIGHT.fullmatch(parameter, 2) else None
        if parameter not in OF_NO_WEIGHT:
            return None
    return 1.0


def _liking(form: Form, ranges: Mapping[str, float]) -> tuple[float, int, int]:
    """How much a form is liked by the most specific range that fits it; how specific that is, and how early it came."""
    family = form.media_type.partition("/")[0]
    for generality, name in enumerate((form.media_type, f"{family}/*", "*/*")):
        if name in ranges:
            return ranges[name], -generality, -list(ranges).index(name)
    return 0.0, 0, 0


class Whole(Response):
    """JSON in one piece.  Its head is made without the detours of Starlette's, which cost as much as its body."""

    def __init__(self, content: Any, headers: Headers = ()) -> None:
        self.status_code, self.background, self.media_type = 200, None, JSON.media_type
        self.body = encode(content).encode()
        length = b"%d" % len(self.body)
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", length), *headers]


class Stream(Response):
    """A body that leaves in pieces.  ended: awaited however it ends, also before its first piece."""

    def __init__(
        self, pieces: AsyncGenerator[bytes], media_type: str, headers: Headers, ended: Callable[[], Awaitable[None]]
    ) -> None:
        self.status_code, self.background, self.media_type = 200, None, media_type
        self._pieces, self._ended = pieces, ended
        self.raw_headers = [(b"content-type", media_type.encode()), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head at once and each piece as it comes."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._pieces.aclose()
            await self._ended()
