"""What constraints, scores and streams take from the queue."""

from __future__ import annotations

import asyncio

import pytest
from fake_engine import DEADLINE_S, FakeEngine
from played_queue import Even, Nothing, Queue, expected, play

from service.jobs import FIRST_CHUNK, Generation, Outcome, Scoring
from service.ticket import EngineError


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


def test_rules_that_are_slow_to_judge_get_few_strings_at_once() -> None:
    engine, rules = FakeEngine(), Even()
    rules.at_once = 3

    async def scenario(queue: Queue) -> None:
        outcome = await queue.submit(1, 10, rules=rules, max_attempts=100).result
        assert outcome.places == list(range(0, 20, 2))
        assert max(map(len, engine.runs)) == 3

    play(scenario, engine)
