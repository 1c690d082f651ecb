"""Strings as they come, and streams that break."""

from __future__ import annotations

import asyncio

import pytest
from client_callers import Blocking
from client_server import (
    MODEL,
    NDJSON,
    Answer,
    Asked,
    Open,
    expected,
    generated,
    line,
    problem,
    streamed,
    summary_line,
    text_of,
)

from service.client import (
    OVERLAP,
    AnswerError,
    AsyncClient,
    Client,
    CutOffError,
    ModelChangedError,
    ProblemError,
    Row,
    Summary,
)


def test_a_stream_gives_all_strings_in_order_and_ends_with_a_summary(caller: Blocking, service: Open) -> None:
    there = service(streamed)
    got = caller.stream(there.url, 1000, seed=3, first=10)
    assert got.rows == [Row(i, text_of(3, i)) for i in range(10, 1010)]
    assert got.summary == Summary(3, 10, "names", "a" * 64, 1000, 1000)
    assert (len(there.asked), there.asked[0].headers["Accept"]) == (1, NDJSON)


def test_lines_may_arrive_in_any_pieces(caller: Blocking, service: Open) -> None:
    def crumbs(asked: Asked) -> Answer:
        whole = b"".join(streamed(asked).pieces or [])
        return Answer(pieces=[whole[i : i + 1] for i in range(len(whole))])

    assert caller.stream(service(crumbs).url, 20, seed=3).texts == expected(3, 0, 20)


def test_scores_latents_and_labels_stream_too(caller: Blocking, service: Open) -> None:
    def scored(asked: Asked) -> Answer:
        row = {"index": 0, "text": "anna", "score": 1.5, "latent": [0.5, -1.0], "label": "it"}
        return Answer(pieces=[line(row), summary_line(asked, 1, 1)])

    assert caller.stream(service(scored).url, 1, scores=True, latents=True).rows == [
        Row(0, "anna", 1.5, [0.5, -1.0], "it")
    ]


def test_a_stream_that_breaks_goes_on_where_it_broke(caller: Blocking, service: Open) -> None:
    cuts = iter([0, 100, OVERLAP + 7, OVERLAP - 1, None])
    there = service(lambda asked: streamed(asked, rows=next(cuts)))
    got = caller.stream(there.url, 300, seed=3, first=10)
    assert got.error is None
    assert got.rows == [Row(i, text_of(3, i)) for i in range(10, 310)]
    assert got.summary == Summary(3, 10, "names", "a" * 64, 300, 300)
    assert [(body.get("first"), body["n"]) for body in there.bodies] == [
        (10, 300),
        (10, 300),
        (110 - OVERLAP, 200 + OVERLAP),
        (117 - OVERLAP, 193 + OVERLAP),
        (117 - OVERLAP, 193 + OVERLAP),
    ]


def test_a_connection_that_is_reset_in_a_line_is_a_break(caller: Blocking, service: Open) -> None:
    def resets(asked: Asked) -> Answer:
        pieces = streamed(asked, rows=OVERLAP).pieces or []
        return Answer(pieces=[*pieces, b'{"index": 32, "te'], reset=True)

    there = service(resets, Answer(b"<html>", 502, {"Content-Type": "text/html"}), streamed)
    got = caller.stream(there.url, 200, seed=3)
    assert (got.error, got.texts, len(there.asked)) == (None, expected(3, 0, 200), 3)


@pytest.mark.parametrize("ending", [[], [b'{"index": 50, "te'], [line({"error": problem(503, "not-ready").content})]])
def test_every_end_but_a_summary_is_a_break(caller: Blocking, service: Open, ending: list[bytes]) -> None:
    def ends(asked: Asked) -> Answer:
        return Answer(pieces=[*(streamed(asked, rows=50).pieces or []), *ending])

    assert caller.stream(service(ends, streamed).url, 200, seed=3).texts == expected(3, 0, 200)


def test_a_stream_whose_summary_alone_was_lost_is_whole(caller: Blocking, service: Open) -> None:
    got = caller.stream(service(lambda asked: streamed(asked, rows=100), streamed).url, 100, seed=3)
    assert (got.texts, got.summary) == (expected(3, 0, 100), Summary(3, 0, "names", "a" * 64, 100, 100))


def test_a_drawn_seed_is_kept_when_a_stream_goes_on(caller: Blocking, service: Open) -> None:
    there = service(lambda asked: streamed(asked, rows=50), streamed)
    got = caller.stream(there.url, 100)
    assert got.texts == expected(got.seed, 0, 100)
    assert {body["seed"] for body in there.bodies} == {got.seed}
    assert 0 <= got.seed < 2**53
    assert caller.stream(there.url, 1).seed != got.seed


def test_an_error_in_a_stream_is_raised_after_what_came_before_it(caller: Blocking, service: Open) -> None:
    def fails(asked: Asked) -> Answer:
        content = problem(500, "engine-failed").content
        return Answer(pieces=[*(streamed(asked, rows=50).pieces or []), line({"error": content})])

    got = caller.stream(service(fails).url, 100, seed=3)
    assert got.texts == expected(3, 0, 50)
    assert isinstance(got.error, ProblemError)
    assert (got.error.status, got.error.kind, got.summary) == (500, "engine-failed", None)


def test_a_stream_waits_for_a_full_queue_like_every_call(caller: Blocking, service: Open) -> None:
    busy = problem(429, "queue-full")
    busy.headers["Retry-After"] = "3"
    there = service(busy, lambda asked: streamed(asked, rows=50), busy, streamed)
    assert caller.stream(there.url, 100, seed=3).texts == expected(3, 0, 100)
    assert len(caller.clock.slept) == 3
    assert all(3 <= seconds <= 4 for seconds in caller.clock.slept[0::2])


def test_patience_starts_anew_whenever_strings_have_come(caller: Blocking, service: Open) -> None:
    cuts = iter([*[OVERLAP + 10] * 20, None])
    there = service(lambda asked: streamed(asked, rows=next(cuts)))
    assert caller.stream(there.url, 1000, seed=3, client={"retries": 1}).texts == expected(3, 0, 1000)
    stuck = service(lambda asked: streamed(asked, rows=OVERLAP))
    got = caller.stream(stuck.url, 1000, seed=3, client={"retries": 3})
    assert got.texts == expected(3, 0, OVERLAP)
    assert isinstance(got.error, CutOffError)
    assert len(stuck.asked) == 1 + 3


def test_a_stream_does_not_go_on_with_another_model(caller: Blocking, service: Open) -> None:
    got = caller.stream(
        service(lambda asked: streamed(asked, rows=50), lambda asked: streamed(asked, digest="b" * 64)).url, 100
    )
    assert isinstance(got.error, ModelChangedError)
    assert "after 50 strings" in str(got.error)
    assert len(got.rows) == 50


def test_another_model_is_known_by_its_strings_where_no_header_tells(caller: Blocking, service: Open) -> None:
    def other(asked: Asked) -> Answer:
        return streamed(asked, told=False, text=lambda seed, i: text_of(seed + 1, i))

    got = caller.stream(service(lambda asked: streamed(asked, rows=50, told=False), other).url, 100)
    assert isinstance(got.error, ModelChangedError)
    assert len(got.rows) == 50


def test_constrained_streams_go_on_from_the_last_place_that_met_them(caller: Blocking, service: Open) -> None:
    def part(asked: Asked) -> Answer:
        return streamed(asked, rows=next(cuts), keeps=lambda i: i % 3 == 0)

    cuts = iter([100, None])
    there = service(part)
    got = caller.stream(there.url, 200, seed=3, min_length=4, max_attempts=1000)
    assert [row.place for row in got.rows] == list(range(0, 600, 3))
    assert got.summary == Summary(3, 0, "names", "a" * 64, 598, 200)
    start = (100 - OVERLAP) * 3
    assert there.bodies[1] == there.bodies[0] | {"first": start, "n": 100 + OVERLAP, "max_attempts": 1000 - start}
    cuts = iter([100, None])
    few = caller.stream(there.url, 200, seed=3, min_length=4, max_attempts=400)
    assert few.summary == Summary(3, 0, "names", "a" * 64, 400, 134)


def test_a_stream_of_unique_strings_is_made_again_and_each_given_once(caller: Blocking, service: Open) -> None:
    cuts = iter([100, 50, 150, None])
    there = service(lambda asked: streamed(asked, rows=next(cuts), keeps=lambda i: i % 2 == 0))
    got = caller.stream(there.url, 200, seed=3, unique=True, first=10)
    assert [row.place for row in got.rows] == list(range(10, 410, 2))
    assert there.bodies == [there.bodies[0]] * 4
    assert got.summary == Summary(3, 10, "names", "a" * 64, 399, 200)
    changed = service(lambda asked: streamed(asked, rows=100), lambda asked: streamed(asked, text=lambda s, i: "x"))
    assert isinstance(caller.stream(changed.url, 200, unique=True).error, ModelChangedError)


@pytest.mark.parametrize(
    "pieces",
    [
        [line({"index": 1, "text": "a"}), line({"index": 1, "text": "b"})],
        [line({"index": 0, "text": "a"}), line({"summary": {"model": MODEL, "attempted": 2, "accepted": 2}})],
        [line({"index": 0})],
        [line({"something": "else"})],
        [line([])],
        [b"{]\n"],
    ],
)
def test_a_stream_that_contradicts_itself_is_no_answer(caller: Blocking, service: Open, pieces: list[bytes]) -> None:
    there = service(Answer(pieces=pieces))
    assert isinstance(caller.stream(there.url, 2).error, AnswerError)
    assert len(there.asked) == 1


def test_texts_slices_and_rows_are_one_stream(service: Open) -> None:
    with Client(service(streamed).url) as client, client.stream(1000, seed=3) as stream:
        texts = iter(stream)
        assert [next(texts), next(stream.rows()).text] == expected(3, 0, 2)
        assert [len(texts) for texts in stream.slices(300)] == [300, 300, 300, 98]
        assert list(stream) == []

    async def asynchronously(url: str) -> list[int]:
        async with AsyncClient(url) as client, client.stream(1000, seed=3) as stream:
            async for text in stream:
                assert text == text_of(3, 0)
                break
            return [len(texts) async for texts in stream.slices(300)]

    assert asyncio.run(asynchronously(service(streamed).url)) == [300, 300, 300, 99]


def test_whoever_leaves_a_stream_leaves_the_connection(service: Open) -> None:
    def slow(asked: Asked) -> Answer:
        answer = streamed(asked, rows=2000)
        answer.pieces = [*(answer.pieces or []), *[b"\n" * 65536] * 1000]
        return answer

    there = service(slow, generated)
    with Client(there.url) as client:
        with client.stream(3000) as stream:
            next(iter(stream))
        assert list(stream) == []
        assert len(client.generate(3)) == 3
