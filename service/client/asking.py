"""What can be asked, and over which connection.

Each of the service's questions stands here once, as a ``Call``; the two clients share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from model.errors import ConfigurationError
from service.client.reading import read_generated, read_interpolated, read_scored
from service.client.results import Generated, Interpolated, Scored

NDJSON = "application/x-ndjson"

T = TypeVar("T")

Point = int | Mapping[str, Any] | Sequence[float]  # a seed, {"seed": ..., "first": ...}, or a latent


class Common(TypedDict, total=False):
    """What every question may say; what is absent or None is left to the service."""

    model: str | None
    label: str | None
    deadline_s: float | None


class Options(Common, total=False):
    """What else strings can be asked to be."""

    first: int
    mode: Literal["argmax", "sample"]
    temperature: float
    min_length: int
    max_length: int
    charset: str
    prefix: str
    pattern: str
    unique: bool
    novel: bool
    max_attempts: int
    scores: bool
    latents: bool


@dataclass(frozen=True)
class Ask:
    """A step: send this request.  Its reply is the response, or the error in its place."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    streamed: bool = False
    timeout_s: float | None = None

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request, for a client of httpx.  Raises ValueError if the body cannot be JSON in UTF-8."""
        headers = {"Accept": NDJSON if self.streamed else "application/json"}
        content = None
        if self.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        timeout = http.timeout if self.timeout_s is None else self.timeout_s
        return http.build_request(self.method, self.path, content=content, headers=headers, timeout=timeout)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request whose answer is one JSON document, and how that is read."""

    ask: Ask
    read: Callable[[Any], T]


def generation(n: int, seed: int | None, options: Options) -> Call[Generated]:
    """Strings in one answer."""
    return Call(Ask("POST", "/v1/generate", given({"n": n, "seed": seed, **options})), read_generated)


def scoring(texts: Iterable[str], options: Common) -> Call[Scored]:
    """The score of each text.  Raises TypeError for a lone string."""
    if isinstance(texts, str):
        raise TypeError("texts must be several strings, got one: put it in a list")
    return Call(Ask("POST", "/v1/score", given({"texts": list(texts), **options})), read_scored)


def interpolation(start: Point, end: Point, steps: int, options: Common) -> Call[Interpolated]:
    """The strings on the way from one latent to another."""
    body = given({"from": _point(start), "to": _point(end), "steps": steps, **options})
    return Call(Ask("POST", "/v1/interpolate", body), read_interpolated)


def _point(point: Point) -> Mapping[str, Any]:
    if isinstance(point, int):
        return {"seed": point}
    return point if isinstance(point, Mapping) else {"latent": list(point)}


def listing() -> Call[list[dict[str, Any]]]:
    """The models that are served."""
    return Call(Ask("GET", "/v1/models"), lambda content: list(content["models"]))


def description(name: str) -> Call[dict[str, Any]]:
    """What is known of one model."""
    return Call(Ask("GET", f"/v1/models/{quote(name, safe='')}"), dict)


VERSION: Call[dict[str, Any]] = Call(Ask("GET", "/version"), dict)


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without what is None, which is left to the service."""
    return {key: value for key, value in body.items() if value is not None}


def connection(base_url: str, key: str | None, timeout_s: float) -> dict[str, Any]:
    """What a client of httpx is made with.  Raises ConfigurationError if the address or the key cannot be one."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"the address must be http://HOST:PORT or https://HOST, got {base_url!r}")
    if url.query or url.fragment:
        raise ConfigurationError("the address must end with its path: leave out what begins with ? or #")
    headers = {"User-Agent": "charwgan"}
    if key:
        if url.userinfo:  # httpx would send them in place of the key
            raise ConfigurationError(
                "the address must hold no user and password where a key is given: both are sent in the same header"
            )
        # Not repeated in the message: it is a secret.
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigurationError("the key must be printable ASCII without spaces: is there a line feed at its end?")
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": url, "headers": headers, "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0))}
