"""The asynchronous client, which performs the same scripts as the blocking one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
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


class AsyncExchange:
    """Performs the steps of one script."""

    def __init__(self, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._http, self._sleep = http, sleep
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes]

    async def run(self, script: Script[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = script.send(reply)
            except StopIteration as end:
                value: T = end.value
                return value
            reply = await self.perform(step)

    async def perform(self, step: Step) -> Reply:
        if isinstance(step, float):
            await self._sleep(step)
            return None
        try:
            return await (self._send(step) if isinstance(step, Ask) else anext(self._chunks, b""))
        except httpx.RequestError as error:
            return error

    async def _send(self, ask: Ask) -> httpx.Response:
        await self.aclose()
        self._response = response = await self._http.send(ask.request(self._http), stream=True)
        if not ask.streamed or response.status_code != 200:
            await response.aread()
        self._chunks = response.aiter_bytes()
        return response

    async def aclose(self) -> None:
        """Leave the answer that is open."""
        if self._response is not None:
            await self._response.aclose()


class AsyncStream:
    """A ``Stream`` to be iterated with ``async for``."""

    def __init__(self, exchange: AsyncExchange, reception: Reception, policy: Policy) -> None:
        self.seed = reception.seed
        self.summary: Summary | None = None
        self._rows = self._play(exchange, receiving(reception, policy))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream, and leave the answer that is open."""
        await self._rows.aclose()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for row in self._rows:
            yield row.text

    def rows(self) -> AsyncIterator[Row]:
        return self._rows

    async def slices(self, size: int = SLICE) -> AsyncIterator[list[str]]:
        texts: list[str] = []
        async for row in self._rows:
            texts.append(row.text)
            if len(texts) == size:
                yield texts
                texts = []
        if texts:
            yield texts

    async def _play(self, exchange: AsyncExchange, script: Script[Summary]) -> AsyncGenerator[Row, None]:
        reply: Reply = None
        try:
            while True:
                step = script.send(reply)
                if isinstance(step, list):
                    for row in step:
                        yield row
                reply = None if isinstance(step, list) else await exchange.perform(step)
        except StopIteration as end:
            self.summary = end.value
        finally:
            await exchange.aclose()


class AsyncClient:
    """The service at a URL, with the methods and arguments of ``Client``, to be awaited; ``stream`` is not."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout_s: float = 75.0,
        retries: int = 5,
        patience_s: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.AsyncClient(transport=transport, **connection(base_url, key, timeout_s))
        self._sleep, self._policy = sleep, Policy(retries, patience_s, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def generate(self, n: int = 1, *, seed: int | None = None, **options: Unpack[Options]) -> Generated:
        return await self._call(generation(n, seed, options))

    def stream(self, n: int, *, seed: int | None = None, **options: Unpack[Options]) -> AsyncStream:
        return AsyncStream(self._exchange(), Reception(n, seed, options), self._policy)

    async def score(self, texts: Iterable[str], **options: Unpack[Common]) -> Scored:
        return await self._call(scoring(texts, options))

    async def interpolate(self, start: Point, end: Point, steps: int = 10, **options: Unpack[Common]) -> Interpolated:
        return await self._call(interpolation(start, end, steps, options))

    async def models(self) -> list[dict[str, Any]]:
        return await self._call(listing())

    async def model(self, name: str) -> dict[str, Any]:
        return await self._call(description(name))

    async def version(self) -> dict[str, Any]:
        return await self._call(VERSION)

    async def ready(self) -> bool:
        return await self._exchange().run(asking_ready())

    async def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        await self._exchange().run(awaiting_ready(timeout_s, self._policy.clock))

    async def _call(self, call: Call[T]) -> T:
        return await self._exchange().run(calling(call, self._policy))

    def _exchange(self) -> AsyncExchange:
        return AsyncExchange(self._http, self._sleep)
