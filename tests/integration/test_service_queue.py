"""The queue as clients meet it, behind a real server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_engine import DEADLINE_S, FakeEngine
from running import HEAD, assert_problem, running, until


def test_a_full_queue_is_answered_with_429_and_a_time() -> None:
    engine = FakeEngine()
    engine.gated = True
    with running(engine, max_n=20, max_strings_queued=20, slice=8) as service, ThreadPoolExecutor() as pool:
        accepted = [pool.submit(service.post, n=20, seed=1)]
        assert engine.entered.acquire(timeout=DEADLINE_S)
        answer = service.post(n=20)
        content = assert_problem(answer, 429, "queue-full")
        assert int(answer.headers["retry-after"]) >= 1
        assert "12 strings wait already, at most 20 may, 20 were asked for" in content["detail"]
        accepted.append(pool.submit(service.post, n=8, seed=2))
        assert engine.entered.acquire(timeout=DEADLINE_S)  # the second run, beside the first
        accepted.append(pool.submit(service.post, n=8, seed=3))
        until(lambda: service.queued == 20)
        engine.open()
        assert [len(answer.result().json()["texts"]) for answer in accepted] == [20, 8, 8]


def test_a_client_that_goes_away_frees_its_place_in_the_queue() -> None:
    engine = FakeEngine()
    engine.gated = True
    with running(engine) as service:
        body = b'{"n": 10000}'
        with service.raw(f"{HEAD}Content-Length: {len(body)}", body):
            assert engine.entered.acquire(timeout=DEADLINE_S)
            until(lambda: service.queued > 9000)
        until(lambda: service.queued == 0)
        engine.open()
        assert service.post(n=1, seed=3).json()["texts"] == ["3:0"]


def test_a_small_request_is_answered_while_a_large_one_is_worked_on() -> None:
    engine = FakeEngine()
    engine.gated = True
    with running(engine, slice=2) as service, ThreadPoolExecutor() as pool:
        large = pool.submit(service.post, n=10_000, seed=1)
        assert engine.entered.acquire(timeout=DEADLINE_S)
        small = pool.submit(service.post, n=1, seed=2)
        assert engine.entered.acquire(timeout=DEADLINE_S)
        engine.open()
        assert small.result().json()["texts"] == ["2:0"]
        assert not large.done()
        assert large.result().json()["texts"] == [f"1:{i}" for i in range(10_000)]


def test_an_engine_that_fails_is_a_500_and_the_service_goes_on() -> None:
    with running() as service:
        service.engine.broken = RuntimeError("the engine broke")
        assert_problem(service.post(), 500, "engine-failed")
        service.engine.broken = None
        assert service.post(seed=1).json()["texts"] == ["1:0"]


def test_an_unforeseen_error_is_a_problem_that_tells_nothing() -> None:
    with running() as service:
        service.app.state.serving.batcher = None
        content = assert_problem(service.post(), 500, "internal-error")
        assert "NoneType" not in json.dumps(content)


def test_a_stream_past_its_deadline_ends_with_a_line_that_says_so() -> None:
    engine = FakeEngine()
    engine.gated = True
    with running(engine) as service:
        answer = service.ask("/v1/generate", {"n": 5, "deadline_s": 0.1}, accept="application/x-ndjson")
        (line,) = answer.text.splitlines()
        assert answer.status_code == 200
        assert json.loads(line)["error"]["type"].endswith("deadline-exceeded")
        engine.open()


def test_a_summary_says_which_constraint_refused_how_many() -> None:
    with running() as service:
        body = {"n": 5, "seed": 1, "max_length": 3, "max_attempts": 12}
        answer = service.ask("/v1/generate", body, accept="application/x-ndjson")
        summary = json.loads(answer.text.splitlines()[-1])["summary"]
        assert (summary["attempted"], summary["accepted"]) == (5, 5)
        assert summary["refused"] == {}
        body["max_length"] = 2
        answer = service.ask("/v1/generate", body, accept="application/x-ndjson")
        summary = json.loads(answer.text.splitlines()[-1])["summary"]
        assert (summary["attempted"], summary["accepted"]) == (12, 0)
        assert summary["refused"] == {"max_length": 12}


def test_a_reader_that_leaves_a_plain_stream_is_no_error_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    with running() as service:
        body = b'{"n": 10000000}'
        with service.raw(f"{HEAD}Accept: text/plain\nContent-Length: {len(body)}", body) as connection:
            assert connection.recv(100)
        gone = 'charwgan_rejected_total{reason="client-gone"} 1.0'
        until(lambda: gone in service.client.get("/metrics").text)
        assert "an error in the application" not in caplog.text
