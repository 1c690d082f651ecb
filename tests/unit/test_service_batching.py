"""The queue and its inference thread, with an engine whose runs the test opens one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import pytest
from fake_engine import DEADLINE_S, FakeEngine, version

from service.batching import Batcher, DeadlineError, EngineError, NotReadyError, QueueFullError, Rate, Ticket
from service.jobs import FIRST_CHUNK, Generation, Outcome, Scoring


class Even:
    """Refuses strings whose number is odd, and what was seen."""

    def judge(self, texts: Sequence[str], seen: set[str]) -> list[str | None]:
        return ["pattern" if int(text.partition(":")[2]) % 2 else None for text in texts]


class Nothing:
    """Refuses everything."""

    def judge(self, texts: Sequence[str], seen: set[str]) -> list[str | None]:
        return ["charset"] * len(texts)


def expected(seed: int, n: int, first: int = 0) -> list[str]:
    return [f"{seed}:{i}" for i in range(first, first + n)]


class Queue:
    """A batcher and the one model that it is asked for."""

    def __init__(self, engine: FakeEngine, bound: int, slice_size: int) -> None:
        self.engine, self.version = engine, version(engine)
        self.batcher = Batcher(max_strings_queued=bound, slice_size=slice_size)

    def submit(self, seed: int, n: int, **options: object) -> Ticket:
        return self.batcher.submit(Generation(self.version, seed, n, **options))  # type: ignore[arg-type]

    async def texts(self, seed: int, n: int, **options: object) -> list[str]:
        return (await self.submit(seed, n, **options).result).texts

    async def in_a_run(self) -> None:
        """Wait until the engine is inside a run, and so takes nothing further from the queue."""
        assert await asyncio.to_thread(self.engine.entered.acquire, timeout=DEADLINE_S)


def play(
    scenario: Callable[[Queue], Awaitable[None]], engine: FakeEngine, *, bound: int = 1000, slice_size: int = 8
) -> None:
    async def main() -> None:
        queue = Queue(engine, bound, slice_size)
        await scenario(queue)
        engine.open()
        await queue.batcher.close(DEADLINE_S)

    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))


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

    play(scenario, engine)


def test_runs_are_full_while_requests_wait() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        first = queue.submit(0, 1)
        await queue.in_a_run()
        tickets = [queue.submit(1, 50), queue.submit(2, 1), queue.submit(3, 3)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(ticket.result for ticket in tickets))
        assert [len(run) for run in engine.runs] == [1, 8, 8, 8, 8, 8, 8, 6]

    play(scenario, engine)


def test_more_requests_than_a_run_holds_take_turns() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        first = queue.submit(0, 1)
        await queue.in_a_run()
        tickets = [queue.submit(seed, 2) for seed in range(1, 13)]
        engine.permits.release(100)
        await asyncio.gather(first.result, *(ticket.result for ticket in tickets))
        assert {text for run in engine.runs[1:3] for text in run} >= {f"{seed}:0" for seed in range(1, 13)}

    play(scenario, engine)


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

    play(scenario, engine, bound=10)


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

    play(scenario, engine, bound=10)


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

    play(scenario, engine)


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

    play(scenario, engine)


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

    play(scenario, engine)


def test_a_hanging_engine_does_not_hold_up_closing_for_ever() -> None:
    engine = FakeEngine(gated=True)

    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 1)
        await queue.in_a_run()
        await queue.batcher.close(0.01)
        assert not ticket.result.done()

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

    async def scenario(queue: Queue) -> None:
        running = queue.submit(0, 1)
        await queue.in_a_run()
        queue.batcher._rate.add(1000, 100.0)  # ten strings a second
        queue.submit(1, 900)
        with pytest.raises(QueueFullError) as refused:
            queue.submit(2, 150)
        assert refused.value.retry_after_s == 5  # 50 too many, at ten a second
        engine.permits.release(1000)
        await running.result

    play(scenario, engine)


@pytest.mark.parametrize("slice_size", [1, 3, 8, 64])
def test_what_constraints_accept_does_not_depend_on_how_the_runs_are_cut(slice_size: int) -> None:
    async def scenario(queue: Queue) -> None:
        outcome = await queue.submit(1, 10, rules=Even(), max_attempts=100).result
        assert outcome.texts == [f"1:{i}" for i in range(0, 20, 2)]
        assert outcome.places == list(range(0, 20, 2))
        assert outcome.attempted == 19
        assert outcome.refused == {"pattern": 9}

    play(scenario, FakeEngine(), slice_size=slice_size)


def test_attempts_end_where_they_were_bounded() -> None:
    async def scenario(queue: Queue) -> None:
        outcome = await queue.submit(1, 10, rules=Nothing(), max_attempts=33).result
        assert outcome == Outcome(attempted=33, refused=outcome.refused)
        assert outcome.refused["charset"] == 33
        assert queue.batcher.queued == 0

    play(scenario, FakeEngine())


def test_scores_and_latents_come_with_the_accepted_strings_alone() -> None:
    async def scenario(queue: Queue) -> None:
        job = Generation(queue.version, 1, 6, rules=Even(), max_attempts=100, scored=True, shows_latents=True)
        outcome = await queue.batcher.submit(job).result
        assert outcome.texts == ["1:0", "1:2", "1:4", "1:6", "1:8", "1:10"]
        assert outcome.scores == [3, 3, 3, 3, 3, 4]
        assert outcome.latents == [[1, i] for i in range(0, 12, 2)]

    play(scenario, FakeEngine())


def test_given_texts_are_scored_in_their_order_beside_others() -> None:
    async def scenario(queue: Queue) -> None:
        texts = ["x" * i for i in range(20)]
        scoring = queue.batcher.submit(Scoring(queue.version, texts))
        assert await queue.texts(1, 20) == expected(1, 20)
        assert (await scoring.result).scores == list(range(20))

    play(scenario, FakeEngine())


def test_a_stream_is_made_no_further_than_its_reader_reads() -> None:
    engine = FakeEngine()

    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 1000, window=32)
        stream = queue.batcher.stream(ticket)
        read = (await anext(stream)).texts
        while queue.batcher.queued or sum(map(len, engine.runs)) < FIRST_CHUNK:
            await asyncio.sleep(0)
        assert sum(map(len, engine.runs)) <= FIRST_CHUNK
        async for outcome in stream:
            read += outcome.texts
            assert sum(map(len, engine.runs)) <= len(read) + 32
        assert read == expected(1, 1000)

    play(scenario, engine)


def test_a_stream_of_constrained_strings_ends_when_it_has_enough() -> None:
    async def scenario(queue: Queue) -> None:
        ticket = queue.submit(1, 100, window=16, rules=Even(), max_attempts=1000)
        outcomes = [outcome async for outcome in queue.batcher.stream(ticket)]
        assert [place for outcome in outcomes for place in outcome.places] == list(range(0, 200, 2))
        assert sum(outcome.attempted for outcome in outcomes) == 199

    play(scenario, FakeEngine())


def test_a_stream_is_finished_while_the_queue_closes() -> None:
    async def scenario(queue: Queue) -> None:
        stream = queue.batcher.stream(queue.submit(1, 200, window=16))
        read = (await anext(stream)).texts
        closing = asyncio.create_task(queue.batcher.close(DEADLINE_S))
        async for outcome in stream:
            read += outcome.texts
        await closing
        assert read == expected(1, 200)

    play(scenario, FakeEngine())


def test_a_failing_engine_ends_a_stream_with_its_error() -> None:
    engine = FakeEngine()

    async def scenario(queue: Queue) -> None:
        stream = queue.batcher.stream(queue.submit(1, 200, window=16))
        await anext(stream)
        engine.broken = RuntimeError("the engine broke")
        with pytest.raises(EngineError):
            async for _ in stream:
                pass

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

    play(scenario, engine)
