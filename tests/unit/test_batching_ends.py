"""The queue when an engine fails, a deadline is over, or the service ends."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest
from fake_engine import DEADLINE_S, FakeEngine
from played_queue import Queue, expected, play

from service.ticket import DeadlineError, EngineError, NotReadyError


def test_a_failing_engine_fails_the_requests_of_that_run_alone() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        engine.broken = RuntimeError("the engine broke")
        unlucky = queue.submit(1, 100)
        await queue.in_a_run()
        lucky = queue.submit(2, 3)
        engine.permits.release(1)
        await queue.in_a_run()  # the next run, which the rest of the unlucky request is not in
        engine.broken = None
        engine.permits.release(100)
        with pytest.raises(EngineError):
            await unlucky.result
        assert (await lucky.result).texts == expected(2, 3)
        assert engine.runs[1:] == [expected(2, 3)]
        assert queue.batcher.queued == 0

    play(scenario, engine, runners=1)


def test_an_engine_that_loses_strings_fails_the_run() -> None:
    engine = FakeEngine()
    engine.texts = lambda latents, parts=(): ["only one"]  # type: ignore[method-assign]

    async def scenario(queue: Queue) -> None:
        with pytest.raises(EngineError):
            await queue.submit(1, 2).result

    play(scenario, engine)


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        tickets = [queue.submit(seed, 20) for seed in (1, 2, 3)]
        await queue.in_a_run()
        closing = asyncio.create_task(queue.batcher.close(DEADLINE_S))
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError):
            queue.submit(4, 1)
        engine.permits.release(100)
        await closing
        assert [ticket.result.result().texts for ticket in tickets] == [expected(seed, 20) for seed in (1, 2, 3)]

    play(scenario, engine, runners=1)


def test_a_hanging_engine_does_not_hold_up_closing_for_ever() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 1)
        await queue.in_a_run()
        await queue.batcher.close(0.01)
        with pytest.raises(NotReadyError):
            await ticket.result

    play(scenario, engine)


def test_a_request_past_its_deadline_is_given_up_and_frees_its_place() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        running = queue.submit(0, 1)
        await queue.in_a_run()
        late = queue.submit(1, 10, deadline=perf_counter())
        with pytest.raises(DeadlineError):
            await late.result
        assert queue.batcher.queued == 0
        engine.permits.release(100)
        assert (await running.result).texts == expected(0, 1)

    play(scenario, engine, runners=1)


def test_the_nearest_deadline_is_kept_whatever_came_before_it() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        now = perf_counter()
        patient = queue.submit(0, 10, deadline=now + 1000)
        await queue.in_a_run()
        later, sooner = queue.submit(1, 1, deadline=now + 0.02), queue.submit(2, 1, deadline=now + 0.01)
        for ticket in (sooner, later):
            with pytest.raises(DeadlineError):
                await ticket.result
        assert not patient.result.done()
        engine.permits.release(100)
        assert (await patient.result).texts == expected(0, 10)

    play(scenario, engine, runners=1)


def test_a_request_whose_scores_fail_fails_alone() -> None:
    engine = FakeEngine(gated=True)

    def no_scores(texts: object, labels: object = ()) -> None:
        raise RuntimeError("the critic broke")

    async def scenario(queue: Queue) -> None:
        engine.scores = no_scores  # type: ignore[method-assign,assignment]
        first = queue.submit(0, 1)
        await queue.in_a_run()
        scored, plain = queue.submit(1, 2, scored=True), queue.submit(2, 2)
        engine.permits.release(100)
        assert (await first.result).texts == expected(0, 1)
        with pytest.raises(EngineError):
            await scored.result
        assert (await plain.result).texts == expected(2, 2)
        assert engine.runs[1:] == [[*expected(1, 2), *expected(2, 2)]]  # one run had both

    play(scenario, engine, runners=1)
