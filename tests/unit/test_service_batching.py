"""The queue and its inference thread, with an engine whose runs the test opens one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from service.batching import Batcher, EngineError, NotReadyError, QueueFullError, Rate

DEADLINE_S = 10


class FakeEngine:
    """String i of a seed is "seed:i".  Each run is recorded, and waits for a permit where the test asks for that."""

    def __init__(self, *, gated: bool = False) -> None:
        self.runs: list[list[str]] = []
        self.gated = gated
        self.entered = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)
        self.broken: Exception | None = None

    def warm_up(self) -> None:
        if self.broken is not None:
            raise self.broken

    def latents(self, seed: int, first: int, n: int) -> NDArray[np.float32]:
        return np.array([[seed, first + i] for i in range(n)], dtype=np.float32)

    def texts(self, latents: NDArray[np.float32]) -> list[str]:
        self.entered.release()
        if self.gated:
            assert self.permits.acquire(timeout=DEADLINE_S)
        texts = [f"{int(seed)}:{int(i)}" for seed, i in latents]
        self.runs.append(texts)
        if self.broken is not None:
            raise self.broken
        return texts


def expected(seed: int, n: int) -> list[str]:
    return [f"{seed}:{i}" for i in range(n)]


def play(
    scenario: Callable[[Batcher], Awaitable[None]], engine: FakeEngine, *, bound: int = 1000, slice_size: int = 8
) -> None:
    async def main() -> None:
        batcher = Batcher(lambda: engine, max_strings_queued=bound, slice_size=slice_size)
        await batcher.warm
        await scenario(batcher)
        engine.permits.release(1000)
        await batcher.close(DEADLINE_S)

    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))


async def in_a_run(engine: FakeEngine) -> None:
    """Wait until the engine is inside a run, and so takes nothing further from the queue."""
    assert await asyncio.to_thread(engine.entered.acquire, timeout=DEADLINE_S)


def test_a_request_gets_its_strings_in_order_over_many_runs() -> None:
    async def scenario(batcher: Batcher) -> None:
        assert await batcher.submit(5, 20).result == expected(5, 20)

    play(scenario, FakeEngine())


def test_mixed_requests_each_get_their_own_strings() -> None:
    async def scenario(batcher: Batcher) -> None:
        sizes = {seed: 1 + 7 * seed % 31 for seed in range(1, 30)}
        jobs = {seed: batcher.submit(seed, n) for seed, n in sizes.items()}
        for seed, n in sizes.items():
            assert await jobs[seed].result == expected(seed, n)
        assert batcher.queued == 0

    play(scenario, FakeEngine())


def test_a_small_request_is_in_the_next_run_behind_large_ones() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        large = [batcher.submit(seed, 100) for seed in (1, 2)]
        await in_a_run(engine)
        small = batcher.submit(3, 2)
        engine.permits.release(2)
        assert await small.result == expected(3, 2)
        assert "3:0" in engine.runs[1]
        assert "3:1" in engine.runs[1]
        assert not any(job.result.done() for job in large)

    play(scenario, engine)


def test_runs_are_full_while_requests_wait() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        first = batcher.submit(0, 1)
        await in_a_run(engine)
        jobs = [batcher.submit(1, 50), batcher.submit(2, 1), batcher.submit(3, 3)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(job.result for job in jobs))
        assert [len(run) for run in engine.runs] == [1, 8, 8, 8, 8, 8, 8, 6]

    play(scenario, engine)


def test_more_requests_than_a_run_holds_take_turns() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        first = batcher.submit(0, 1)
        await in_a_run(engine)
        jobs = [batcher.submit(seed, 2) for seed in range(1, 13)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(job.result for job in jobs))
        assert {text for run in engine.runs[1:3] for text in run} >= {f"{seed}:0" for seed in range(1, 13)}

    play(scenario, engine)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        running = batcher.submit(0, 1)
        await in_a_run(engine)
        waiting = batcher.submit(1, 10)
        with pytest.raises(
            QueueFullError, match="10 strings wait already, at most 10 may, 1 were asked for"
        ) as refused:
            batcher.submit(2, 1)
        assert refused.value.retry_after_s >= 1
        engine.permits.release(100)
        await asyncio.gather(running.result, waiting.result)
        assert await batcher.submit(2, 10).result == expected(2, 10)

    play(scenario, engine, bound=10)


def test_a_withdrawn_request_frees_its_place_and_is_never_run() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        running = batcher.submit(0, 1)
        await in_a_run(engine)
        unwanted = batcher.submit(1, 10)
        batcher.withdraw(unwanted)
        assert batcher.queued == 0
        wanted = batcher.submit(2, 10)
        engine.permits.release(100)
        await asyncio.gather(running.result, wanted.result)
        assert unwanted.result.cancelled()
        assert not any(text.startswith("1:") for run in engine.runs for text in run)

    play(scenario, engine, bound=10)


def test_a_request_withdrawn_halfway_costs_no_further_run() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        job = batcher.submit(1, 100)
        await in_a_run(engine)
        assert batcher.queued == 92
        batcher.withdraw(job)
        assert batcher.queued == 0
        engine.permits.release(100)
        assert await batcher.submit(2, 3).result == expected(2, 3)
        assert len(engine.runs) == 2

    play(scenario, engine)


def test_a_failing_engine_fails_the_requests_of_that_run_alone() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        engine.broken = RuntimeError("the engine broke")
        unlucky = batcher.submit(1, 100)
        await in_a_run(engine)
        lucky = batcher.submit(2, 3)
        engine.permits.release(1)
        await in_a_run(engine)  # the next run, which the rest of the unlucky request is not in
        engine.broken = None
        engine.permits.release(100)
        with pytest.raises(EngineError):
            await unlucky.result
        assert await lucky.result == expected(2, 3)
        assert engine.runs[1:] == [expected(2, 3)]
        assert batcher.queued == 0

    play(scenario, engine)


def test_an_engine_that_loses_strings_fails_the_run() -> None:
    engine = FakeEngine()
    engine.texts = lambda latents: ["only one"]  # type: ignore[method-assign]

    async def scenario(batcher: Batcher) -> None:
        with pytest.raises(EngineError):
            await batcher.submit(1, 2).result

    play(scenario, engine)


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        jobs = [batcher.submit(seed, 20) for seed in (1, 2, 3)]
        await in_a_run(engine)
        closing = asyncio.create_task(batcher.close(DEADLINE_S))
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError):
            batcher.submit(4, 1)
        engine.permits.release(100)
        await closing
        assert [job.result.result() for job in jobs] == [expected(seed, 20) for seed in (1, 2, 3)]

    play(scenario, engine)


def test_an_engine_that_does_not_open_is_told_and_takes_no_requests() -> None:
    engine = FakeEngine()
    engine.broken = RuntimeError("no such engine")

    async def main() -> None:
        batcher = Batcher(lambda: engine, max_strings_queued=10, slice_size=8)
        with pytest.raises(RuntimeError, match="no such engine"):
            await batcher.warm
        assert batcher.failed
        with pytest.raises(NotReadyError, match="could not be opened"):
            batcher.submit(1, 1)
        await batcher.close(DEADLINE_S)

    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))


def test_a_hanging_engine_does_not_hold_up_closing_for_ever() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        job = batcher.submit(1, 1)
        await in_a_run(engine)
        await batcher.close(0.01)
        assert not job.result.done()

    play(scenario, engine)


def test_the_rate_follows_the_latest_runs() -> None:
    rate = Rate()
    assert rate.per_s is None
    rate.add(100, 1.0)
    assert rate.per_s == pytest.approx(100)
    for _ in range(100):
        rate.add(400, 1.0)
    assert rate.per_s == pytest.approx(400, rel=0.01)


def test_retry_after_is_the_time_until_there_is_room() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(batcher: Batcher) -> None:
        running = batcher.submit(0, 1)
        await in_a_run(engine)
        batcher._rate.add(1000, 100.0)  # ten strings a second
        batcher.submit(1, 900)
        with pytest.raises(QueueFullError) as refused:
            batcher.submit(2, 150)
        assert refused.value.retry_after_s == 5  # 50 too many, at ten a second
        engine.permits.release(1000)
        await running.result

    play(scenario, engine)
