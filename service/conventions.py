"""What holds of every route, as the description says it: headers of requests and answers, keys, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service import examples
from service.security import CHALLENGE
from service.tracing import MOST_STATE_BYTES

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATE = "vendor=00f067aa0ba902b7"
TEXT = {"type": "string"}
HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's own, or a new one.",
        "schema": {**TEXT, "pattern": "^[!-~]{1,128}$"},
        "example": "order-7",
    },
    "traceparent": {
        "description": "W3C Trace Context, where the request brought one or the service traces.",
        "schema": {**TEXT, "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
        "example": TRACE,
    },
    "tracestate": {
        "description": "What tracers before this one noted, where the request brought it beside a traceparent.",
        "schema": {**TEXT, "maxLength": MOST_STATE_BYTES},
        "example": STATE,
    },
    "WWW-Authenticate": {
        "description": "How to say a key.",
        "schema": {"const": CHALLENGE["WWW-Authenticate"]},
    },
    "Accept-Encoding": {"description": "The one coding that bodies may have.", "schema": {"const": "identity"}},
    "Retry-After": {
        "description": "Seconds to wait, where waiting can help.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 2,
    },
    "RateLimit": {
        "description": "Where there is a limit: r strings are left, and in t seconds there are more.",
        "schema": TEXT,
        "example": '"strings";r=70;t=40',
    },
    "RateLimit-Policy": {
        "description": "Where there is a limit: q strings in w seconds (draft-ietf-httpapi-ratelimit-headers).",
        "schema": TEXT,
        "example": '"strings";q=100;qu="strings";w=60',
    },
    "Charwgan-Seed": {"description": "The seed, given or drawn.", "schema": {"type": "integer"}, "example": 42},
    "Charwgan-Model-Digest": {
        "description": "The model's digest.",
        "schema": {**TEXT, "pattern": "^[0-9a-f]{64}$"},
        "example": examples.DIGEST,
    },
}
PARAMETERS: Mapping[str, dict[str, Any]] = {
    name: {"name": name, "in": "header", "description": description, "schema": TEXT, "example": example}
    for name, description, example in (
        (
            "X-Request-Id",
            "Repeated in the answer and the log if it is 1 to 128 visible ASCII characters.",
            "order-7",
        ),
        ("traceparent", "W3C Trace Context, which is passed on; ignored if it is not valid.", TRACE),
        (
            "tracestate",
            f"What tracers before noted; up to {MOST_STATE_BYTES} bytes are passed on with a valid traceparent.",
            STATE,
        ),
    )
}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of the service, where it has any (`charwgan keys new NAME`); for /admin the operator's.",
}
CONVENTIONS = """\
Every error is `application/problem+json` (RFC 9457), whose `type` ends in one of the names that `components/examples`
lists with what to do about it; no text of a request is repeated in one. A path that is not described is answered with
404 (`not-found`), another method of one that is with 405 (`method-not-allowed`) and an `Allow` header. After what the
wire refuses before a request is read (`malformed-request`, `header-timeout`, `headers-too-large`,
`too-many-connections`) the connection is closed; such an answer is in no trace, and its `X-Request-Id` is a new one
unless the request's had arrived."""
