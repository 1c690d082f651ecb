"""The queue: who has a turn, who is refused, who leaves."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fake_engine import FakeEngine, version
from played_queue import Even, Queue, expected, play

from service.batching import Rate
from service.jobs import Generation
from service.ticket import EngineError, QueueFullError


def test_a_request_gets_its_strings_in_order_over_many_runs() -> None:
    async def scenario(queue: Queue) -> None:
        assert await queue.texts(5, 20) == expected(5, 20)

    play(scenario, FakeEngine())


def test_a_request_may_begin_anywhere_in_its_seed() -> None:
    async def scenario(queue: Queue) -> None:
        assert await queue.texts(5, 20, first=7) == expected(5, 20, first=7)

    play(scenario, FakeEngine())


def test_mixed_requests_each_get_their_own_strings() -> None:
    async def scenario(queue: Queue) -> None:
        sizes = {seed: 1 + 7 * seed % 31 for seed in range(1, 30)}
        tickets = {seed: queue.submit(seed, n) for seed, n in sizes.items()}
        for seed, n in sizes.items():
            assert (await tickets[seed].result).texts == expected(seed, n)
        assert queue.batcher.queued == 0

    play(scenario, FakeEngine())


def test_requests_of_two_models_never_share_a_pass_of_the_network() -> None:
    async def scenario(queue: Queue) -> None:
        other = FakeEngine()
        tickets = [queue.submit(seed, 9) for seed in range(5)]
        tickets += [queue.batcher.submit(Generation(version(other, "others"), seed, 9)) for seed in range(5, 10)]
        for seed, ticket in enumerate(tickets):
            assert (await ticket.result).texts == expected(seed, 9)
        assert not {text for run in other.runs for text in run} & {text for run in queue.engine.runs for text in run}

    play(scenario, FakeEngine())


def test_a_small_request_is_in_the_next_run_behind_large_ones() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        large = [queue.submit(seed, 100) for seed in (1, 2)]
        await queue.in_a_run()
        small = queue.submit(3, 2)
        engine.permits.release(2)
        assert (await small.result).texts == expected(3, 2)
        assert "3:0" in engine.runs[1]
        assert "3:1" in engine.runs[1]
        assert not any(ticket.result.done() for ticket in large)

    play(scenario, engine, runners=1)


def test_runs_are_full_while_requests_wait() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        first = queue.submit(0, 1)
        await queue.in_a_run()
        tickets = [queue.submit(1, 50), queue.submit(2, 1), queue.submit(3, 3)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(ticket.result for ticket in tickets))
        assert [len(run) for run in engine.runs] == [1, 8, 8, 8, 8, 8, 8, 6]

    play(scenario, engine, runners=1)


def test_more_requests_than_a_run_holds_take_turns() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        first = queue.submit(0, 1)
        await queue.in_a_run()
        tickets = [queue.submit(seed, 2) for seed in range(1, 13)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(ticket.result for ticket in tickets))
        assert {text for run in engine.runs[1:3] for text in run} >= {f"{seed}:0" for seed in range(1, 13)}

    play(scenario, engine, runners=1)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        running = queue.submit(0, 1)
        await queue.in_a_run()
        waiting = queue.submit(1, 10)
        with pytest.raises(
            QueueFullError, match="10 strings wait already, at most 10 may, 1 were asked for"
        ) as refused:
            queue.submit(2, 1)
        assert refused.value.retry_after_s >= 1
        engine.permits.release(100)
        await asyncio.gather(running.result, waiting.result)
        assert await queue.texts(2, 10) == expected(2, 10)

    play(scenario, engine, bound=10, runners=1)


def test_a_withdrawn_request_frees_its_place_and_is_never_run() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        running = queue.submit(0, 1)
        await queue.in_a_run()
        unwanted = queue.submit(1, 10)
        queue.batcher.withdraw(unwanted)
        assert queue.batcher.queued == 0
        wanted = queue.submit(2, 10)
        engine.permits.release(100)
        await asyncio.gather(running.result, wanted.result)
        assert unwanted.result.cancelled()
        assert not any(text.startswith("1:") for run in engine.runs for text in run)

    play(scenario, engine, bound=10, runners=1)


def test_a_request_withdrawn_halfway_costs_no_further_run() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 100)
        await queue.in_a_run()
        assert queue.batcher.queued == 92
        queue.batcher.withdraw(ticket)
        assert queue.batcher.queued == 0
        engine.permits.release(100)
        assert await queue.texts(2, 3) == expected(2, 3)
        assert len(engine.runs) == 2

    play(scenario, engine, runners=1)


def test_the_rate_follows_the_latest_runs() -> None:
    rate = Rate()
    assert rate.per_s is None
    rate.add(100, 0.0, 1.0)
    assert rate.per_s == pytest.approx(100)
    for i in range(100):
        rate.add(400, 1.0 + i, 2.0 + i)
    assert rate.per_s == pytest.approx(400, rel=0.01)


def test_time_that_two_runs_share_counts_once() -> None:
    rate = Rate()
    rate.add(100, 0.0, 1.0)
    rate.add(100, 0.5, 1.5)
    assert rate.per_s == pytest.approx(190 / 1.4)  # the first weighs 0.9 by then


def test_retry_after_is_the_time_until_there_is_room() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        running = queue.submit(0, 1)
        await queue.in_a_run()
        queue.batcher._rate.add(1000, 0.0, 100.0)  # ten strings a second
        queue.submit(1, 900)
        with pytest.raises(QueueFullError) as refused:
            queue.submit(2, 150)
        assert refused.value.retry_after_s == 5  # 50 too many, at ten a second
        engine.permits.release(1000)
        await running.result

    play(scenario, engine, runners=1)


def test_one_run_goes_on_while_another_is_held_up() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        held = queue.submit(0, 1)
        await queue.in_a_run()
        other = queue.submit(1, 1)
        await queue.in_a_run()
        engine.permits.release(2)
        assert (await held.result).texts == expected(0, 1)
        assert (await other.result).texts == expected(1, 1)

    play(scenario, engine, runners=2)


def test_a_request_is_in_one_run_at_a_time() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        large = queue.submit(0, 20)
        await queue.in_a_run()
        assert queue.batcher.queued == 12
        small = queue.submit(1, 1)
        await queue.in_a_run()  # the small one's, though the large one came first and has strings waiting
        engine.permits.release(100)
        assert (await small.result).texts == expected(1, 1)
        assert (await large.result).texts == expected(0, 20)

    play(scenario, engine, runners=2)


def test_strings_in_a_run_do_not_wait() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 20, rules=Even(), max_attempts=1000)
        await queue.in_a_run()
        assert queue.batcher.queued == 12  # eight are tried in the run, and may all be accepted
        engine.permits.release(1000)
        assert (await ticket.result).places == list(range(0, 40, 2))

    play(scenario, engine)


async def rested(queue: Queue) -> None:
    """Wait until no thread is at a run: an answer is there a little before its thread has laid the run down."""
    while queue.batcher._running:
        await asyncio.sleep(0.001)


def test_a_lone_small_request_runs_on_the_event_loop_once_runs_are_known_to_be_quick() -> None:
    engine = FakeEngine()

    async def scenario(queue: Queue) -> None:
        assert await queue.texts(1, 1) == expected(1, 1)
        assert threading.get_ident() not in engine.threads
        await rested(queue)
        queue.batcher._rate.per_s = 1000.0
        assert await queue.texts(2, 2) == expected(2, 2)
        assert engine.threads[-1] == threading.get_ident()
        for options in ({"n": 3}, {"n": 1, "rules": Even(), "max_attempts": 4}, {"n": 1, "window": 4}):
            await rested(queue)
            queue.batcher._rate.per_s = 1000.0
            ticket = queue.submit(3, **options)
            await ticket.result
            assert engine.threads[-1] != threading.get_ident()

    play(scenario, engine)


def test_requests_that_come_together_do_not_hold_the_event_loop_up() -> None:
    engine = FakeEngine()

    async def scenario(queue: Queue) -> None:
        queue.batcher._rate.per_s = 1000.0
        tickets = [queue.submit(seed, 1) for seed in range(2)]
        assert [(await ticket.result).texts for ticket in tickets] == [expected(0, 1), expected(1, 1)]
        assert threading.get_ident() not in engine.threads

    play(scenario, engine)


def test_an_engine_that_fails_on_the_event_loop_fails_the_request_alone() -> None:
    engine = FakeEngine()

    async def scenario(queue: Queue) -> None:
        queue.batcher._rate.per_s = 1000.0
        engine.broken = RuntimeError("out of memory")
        with pytest.raises(EngineError):
            await queue.texts(1, 1)
        assert engine.threads == [threading.get_ident()]
        engine.broken = None
        assert await queue.texts(2, 1) == expected(2, 1)

    play(scenario, engine)
