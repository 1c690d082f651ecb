"""A queue whose runs a test opens one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fake_engine import DEADLINE_S, FakeEngine, version

from service.batching import RUNNERS, Batcher
from service.jobs import Generation
from service.ticket import Ticket


class Even:
    """Refuses strings whose number is odd, and what was seen."""

    at_once: int | None = None

    def judge(self, texts: Sequence[str], seen: set[str]) -> list[str | None]:
        return ["pattern" if int(text.partition(":")[2]) % 2 else None for text in texts]


class Nothing:
    """Refuses everything."""

    at_once: int | None = None

    def judge(self, texts: Sequence[str], seen: set[str]) -> list[str | None]:
        return ["charset"] * len(texts)


def expected(seed: int, n: int, first: int = 0) -> list[str]:
    return [f"{seed}:{i}" for i in range(first, first + n)]


class Queue:
    """A batcher and the one model that it is asked for."""

    def __init__(self, engine: FakeEngine, bound: int, slice_size: int, runners: int) -> None:
        self.engine, self.version = engine, version(engine)
        self.batcher = Batcher(max_strings_queued=bound, slice_size=slice_size, runners=runners)

    def submit(self, seed: int, n: int, **options: object) -> Ticket:
        return self.batcher.submit(Generation(self.version, seed, n, **options))  # type: ignore[arg-type]

    async def texts(self, seed: int, n: int, **options: object) -> list[str]:
        return (await self.submit(seed, n, **options).result).texts

    async def in_a_run(self) -> None:
        """Wait until the engine is inside a run, and so takes nothing further from the queue."""
        assert await asyncio.to_thread(self.engine.entered.acquire, timeout=DEADLINE_S)


def play(
    scenario: Callable[[Queue], Awaitable[None]],
    engine: FakeEngine,
    *,
    bound: int = 1000,
    slice_size: int = 8,
    runners: int = RUNNERS,
) -> None:
    """Let a scenario happen to a queue, which is closed then.  runners: 1 where the order of the runs matters."""

    async def main() -> None:
        queue = Queue(engine, bound, slice_size, runners)
        await scenario(queue)
        engine.open()
        await queue.batcher.close(DEADLINE_S)

    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))
