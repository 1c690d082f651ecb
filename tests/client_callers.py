"""The blocking and the asynchronous client, to be called in the same way, on a clock of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.errors import CharwganError
from service.client import AsyncClient, Client, Row, Summary


class Clock:
    """Time that passes only by sleeping.  meanwhile: what happens during a sleep."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.meanwhile()

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@dataclass
class Streamed:
    rows: list[Row]
    seed: int
    summary: Summary | None
    error: CharwganError | None

    @property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]


class Blocking:
    """Calls of the blocking client, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()

    def options(self) -> dict[str, Any]:
        return {"sleep": self.clock.sleep, "clock": lambda: self.clock.now}

    def call(self, url: str, method: str, *arguments: Any, client: Any = None, **named: Any) -> Any:
        with Client(url, **self.options(), **(client or {})) as opened:
            return getattr(opened, method)(*arguments, **named)

    def stream(self, url: str, n: int, *, client: Any = None, **named: Any) -> Streamed:
        rows: list[Row] = []
        with Client(url, **self.options(), **(client or {})) as opened, opened.stream(n, **named) as stream:
            try:
                for row in stream.rows():
                    rows.append(row)
            except CharwganError as error:
                return Streamed(rows, stream.seed, stream.summary, error)
            return Streamed(rows, stream.seed, stream.summary, None)


class Awaited(Blocking):
    """The same calls of the asynchronous client."""

    def options(self) -> dict[str, Any]:
        return {"sleep": self.clock.sleep_async, "clock": lambda: self.clock.now}

    def call(self, url: str, method: str, *arguments: Any, client: Any = None, **named: Any) -> Any:
        async def call() -> Any:
            async with AsyncClient(url, **self.options(), **(client or {})) as opened:
                return await getattr(opened, method)(*arguments, **named)

        return asyncio.run(call())

    def stream(self, url: str, n: int, *, client: Any = None, **named: Any) -> Streamed:
        async def read() -> Streamed:
            rows: list[Row] = []
            async with (
                AsyncClient(url, **self.options(), **(client or {})) as opened,
                opened.stream(n, **named) as stream,
            ):
                try:
                    async for row in stream.rows():
                        rows.append(row)
                except CharwganError as error:
                    return Streamed(rows, stream.seed, stream.summary, error)
                return Streamed(rows, stream.seed, stream.summary, None)

        return asyncio.run(read())
