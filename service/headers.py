"""What heads of requests and answers have in common: values by name, the request's id, what browsers are told."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

Headers = Sequence[tuple[bytes, bytes]]

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
ALWAYS: Headers = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
# Of what is no page: strings, figures, and every problem wherever it was met.
OF_DATA: Headers = (
    *ALWAYS,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """The values of headers with names in lower case; those of a name that comes twice as one list (RFC 9110, 5.3)."""
    found = dict(headers)
    if len(found) < len(headers):
        lists: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            lists.setdefault(name, []).append(value)
        found = {name: b", ".join(values) for name, values in lists.items()}
    return found


def request_id(given: Mapping[bytes, bytes]) -> bytes:
    """The request's own, or a new one."""
    own = given.get(b"x-request-id")
    return own if own is not None and REQUEST_ID.fullmatch(own) else b"%032x" % random.getrandbits(128)
