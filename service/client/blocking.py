"""The blocking client, and the streams that it opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, Self, TypeVar, Unpack

import httpx

from service.client.asking import (
    VERSION,
    Ask,
    Call,
    Common,
    Options,
    Point,
    connection,
    description,
    generation,
    interpolation,
    listing,
    scoring,
)
from service.client.reading import Reply
from service.client.results import Generated, Interpolated, Row, Scored, Summary
from service.client.retries import Policy
from service.client.scripts import Script, Step, asking_ready, awaiting_ready, calling
from service.client.streams import SLICE, Reception, receiving

T = TypeVar("T")


class Exchange:
    """Performs the steps of one script."""

    def __init__(self, http: httpx.Client, sleep: Callable[[float], None]) -> None:
        self._http, self._sleep = http, sleep
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def run(self, script: Script[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = script.send(reply)
            except StopIteration as end:
                value: T = end.value
                return value
            reply = self.perform(step)

    def perform(self, step: Step) -> Reply:
        if isinstance(step, float):
            self._sleep(step)
            return None
        try:
            return self._send(step) if isinstance(step, Ask) else next(self._chunks, b"")
        except httpx.RequestError as error:
            return error

    def _send(self, ask: Ask) -> httpx.Response:
        self.close()
        self._response = response = self._http.send(ask.request(self._http), stream=True)
        if not ask.streamed or response.status_code != 200:
            response.read()
        self._chunks = response.iter_bytes()
        return response

    def close(self) -> None:
        """Leave the answer that is open."""
        if self._response is not None:
            self._response.close()


class Stream:
    """Strings as they come: iterate over the texts, or over ``rows()`` or ``slices()``; each string comes once.

    seed: given or drawn.  summary: None until the stream has ended.  Iterating raises ClientError.
    """

    def __init__(self, exchange: Exchange, reception: Reception, policy: Policy) -> None:
        self.seed = reception.seed
        self.summary: Summary | None = None
        self._rows = self._play(exchange, receiving(reception, policy))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream, and leave the answer that is open."""
        self._rows.close()

    def __iter__(self) -> Iterator[str]:
        return (row.text for row in self._rows)

    def rows(self) -> Iterator[Row]:
        """The strings with their places, and scores and latents where asked for."""
        return self._rows

    def slices(self, size: int = SLICE) -> Iterator[list[str]]:
        """The texts in lists of that size, the last one shorter."""
        while texts := [row.text for row in islice(self._rows, size)]:
            yield texts

    def _play(self, exchange: Exchange, script: Script[Summary]) -> Generator[Row, None, None]:
        reply: Reply = None
        try:
            while True:
                step = script.send(reply)
                if isinstance(step, list):
                    yield from step
                reply = None if isinstance(step, list) else exchange.perform(step)
        except StopIteration as end:
            self.summary = end.value
        finally:
            exchange.close()


class Client:
    """The service at a URL, blocking; may be shared among threads.

    key: where the service wants one.  timeout_s: silence that ends a call; longer than the service's own deadline.
    retries: how often a call is asked again, within patience_s seconds altogether, if it could not connect or was
    answered 429, 502, 503 or 504; never before Retry-After, and a drawn part of it later.
    transport: of httpx, in place of the network.
    Every method raises ClientError; the constructor ConfigurationError.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout_s: float = 75.0,
        retries: int = 5,
        patience_s: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.Client(transport=transport, **connection(base_url, key, timeout_s))
        self._sleep, self._policy = sleep, Policy(retries, patience_s, clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(self, n: int = 1, *, seed: int | None = None, **options: Unpack[Options]) -> Generated:
        """Make n strings in one answer; the service bounds n, and ``stream`` gives more."""
        return self._call(generation(n, seed, options))

    def stream(self, n: int, *, seed: int | None = None, **options: Unpack[Options]) -> Stream:
        """Make n strings, which come as they are made, in constant memory; a stream that breaks is taken up again."""
        return Stream(self._exchange(), Reception(n, seed, options), self._policy)

    def score(self, texts: Iterable[str], **options: Unpack[Common]) -> Scored:
        """The critic's score of each text."""
        return self._call(scoring(texts, options))

    def interpolate(self, start: Point, end: Point, steps: int = 10, **options: Unpack[Common]) -> Interpolated:
        """The strings on the way between two seeds, {"seed": ..., "first": ...} or latents."""
        return self._call(interpolation(start, end, steps, options))

    def models(self) -> list[dict[str, Any]]:
        """The models that are served."""
        return self._call(listing())

    def model(self, name: str) -> dict[str, Any]:
        """What is known of one model."""
        return self._call(description(name))

    def version(self) -> dict[str, Any]:
        """The version of the service."""
        return self._call(VERSION)

    def ready(self) -> bool:
        """Whether the service takes requests now; asked once."""
        return self._exchange().run(asking_ready())

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Return when the service takes requests; raises what stood against it after timeout_s seconds."""
        self._exchange().run(awaiting_ready(timeout_s, self._policy.clock))

    def _call(self, call: Call[T]) -> T:
        return self._exchange().run(calling(call, self._policy))

    def _exchange(self) -> Exchange:
        return Exchange(self._http, self._sleep)
