"""What goes wrong, and what is asked again."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from client_callers import Blocking
from client_server import MODEL, Answer, Open, expected, generated, problem

from model.errors import CharwganError
from service.client import (
    LONGEST_BACKOFF_S,
    AnswerError,
    CutOffError,
    NotReadyError,
    ProblemError,
    RateLimitedError,
    UnreachableError,
)


def test_those_who_were_told_the_same_time_do_not_come_back_at_the_same_instant(
    caller: Blocking, service: Open
) -> None:
    busy = problem(429, "queue-full")
    busy.headers["Retry-After"] = "8"
    there = service(*[busy, generated] * 20)
    for _ in range(20):
        caller.call(there.url, "generate", 1)
    assert len(set(caller.clock.slept)) == 20
    assert max(caller.clock.slept) - min(caller.clock.slept) > 0.5


def test_no_more_is_waited_after_retry_after_than_patience_is_left(caller: Blocking, service: Open) -> None:
    busy = problem(429, "queue-full")
    busy.headers["Retry-After"] = "60"
    caller.call(service(busy, generated).url, "generate", 1, client={"patience_s": 60})
    assert caller.clock.slept == [60]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "malformed-body"),
        (401, "unauthorized"),
        (404, "unknown-model"),
        (422, "invalid-field"),
        (500, "engine-failed"),
    ],
)
def test_a_problem_is_told_with_its_fields_and_not_asked_again(
    caller: Blocking, service: Open, status: int, kind: str
) -> None:
    errors = [{"field": "n", "detail": "n is too large", "bound": "at most 10000", "given": 20000}]
    there = service(problem(status, kind, errors=errors))
    with pytest.raises(ProblemError, match=rf"{kind} it is \(HTTP {status}\)") as raised:
        caller.call(there.url, "generate", 20000)
    error = raised.value
    assert (error.status, error.kind, error.detail, error.errors) == (status, kind, f"{kind} it is", errors)
    assert (len(there.asked), caller.clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("status", "kind", "error"), [(429, "queue-full", RateLimitedError), (503, "not-ready", NotReadyError)]
)
def test_nobody_asks_again_before_retry_after(
    caller: Blocking, service: Open, status: int, kind: str, error: type[ProblemError]
) -> None:
    busy = problem(status, kind)
    busy.headers["Retry-After"] = "17"
    there = service(busy, busy, generated)
    assert list(caller.call(there.url, "generate", 2, seed=1)) == expected(1, 0, 2)
    assert there.bodies == [{"n": 2, "seed": 1}] * 3
    assert len(caller.clock.slept) == 2
    assert all(17 <= seconds <= 17 * 5 / 4 for seconds in caller.clock.slept)
    with pytest.raises(error) as raised:
        caller.call(service(busy).url, "generate", 1, client={"retries": 0})
    assert raised.value.retry_after_s == 17


def test_retry_after_may_be_a_date(caller: Blocking, service: Open) -> None:
    busy = problem(429, "rate-limited")
    busy.headers["Retry-After"] = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    past = problem(503, "not-ready")
    past.headers["Retry-After"] = "Sun, 06 Nov 1994 08:49:37 GMT"
    caller.call(service(busy, past, generated).url, "generate", 1)
    soon, at_once = caller.clock.slept
    assert 38 <= soon <= 40 * 5 / 4
    assert 0 <= at_once <= 0.5


def test_a_date_is_reckoned_from_the_time_of_the_service(caller: Blocking, service: Open) -> None:
    busy = problem(429, "rate-limited")
    busy.headers |= {"Date": "Sun, 06 Nov 1994 08:49:00 GMT", "Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}
    with pytest.raises(RateLimitedError) as raised:
        caller.call(service(busy).url, "generate", 1, client={"retries": 0})
    assert raised.value.retry_after_s == 37


@pytest.mark.parametrize("retry_after", [None, "soon", "-5", "1e1", "Sun, 06 Nov 99999999999999 08:49:37 GMT"])
def test_without_retry_after_the_waits_grow_and_are_drawn(
    caller: Blocking, service: Open, retry_after: str | None
) -> None:
    busy = problem(503, "not-ready")
    if retry_after is not None:
        busy.headers["Retry-After"] = retry_after
    there = service(busy)
    with pytest.raises(NotReadyError):
        caller.call(there.url, "generate", 1, client={"retries": 8, "patience_s": 1000})
    assert len(there.asked) == 9
    bounds = [min(0.25 * 2**k, LONGEST_BACKOFF_S) for k in range(8)]
    slept = caller.clock.slept
    assert all(bound / 2 <= seconds <= bound for seconds, bound in zip(slept, bounds, strict=True))
    assert len({seconds / bound for seconds, bound in zip(slept, bounds, strict=True)}) > 1


@pytest.mark.parametrize(("retry_after", "asked"), [("600", 1), ("9" * 400, 1), ("50.5", 3)])
def test_waits_altogether_never_exceed_the_patience(
    caller: Blocking, service: Open, retry_after: str, asked: int
) -> None:
    busy = problem(429, "queue-full")
    busy.headers["Retry-After"] = retry_after
    there = service(busy)
    with pytest.raises(RateLimitedError) as raised:
        caller.call(there.url, "generate", 1, client={"patience_s": 120})
    assert raised.value.retry_after_s == float(retry_after)
    assert (len(there.asked), sum(caller.clock.slept) <= 120) == (asked, True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_service_that_is_not_there_yet_is_asked_again(caller: Blocking, service: Open) -> None:
    port = free_port()
    caller.clock.meanwhile = lambda: service(generated, port=port) if len(caller.clock.slept) == 2 else None
    assert list(caller.call(f"http://127.0.0.1:{port}", "generate", 1, seed=1)) == expected(1, 0, 1)
    assert len(caller.clock.slept) == 2


def test_a_service_that_never_comes_is_unreachable(caller: Blocking) -> None:
    port = free_port()
    with pytest.raises(UnreachableError, match=rf"cannot reach http://127\.0\.0\.1:{port}/v1/generate") as raised:
        caller.call(f"http://me:s3cret@127.0.0.1:{port}", "generate", 1)
    assert (len(caller.clock.slept), "s3cret" in str(raised.value)) == (5, False)


def test_an_answer_that_is_cut_off_is_not_asked_for_again(caller: Blocking, service: Open) -> None:
    there = service(Answer({"texts": []}, cut=True))
    with pytest.raises(CutOffError, match="not whole"):
        caller.call(there.url, "generate", 1)
    assert (len(there.asked), caller.clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(b"<html>", headers={"Content-Type": "text/html"}), AnswerError, "is the address right"),
        (Answer(["texts"]), AnswerError, "is the address right"),
        (Answer({"texts": ["x"]}), AnswerError, "is the address right"),
        (Answer(b"", 307, {"Location": "/elsewhere"}), AnswerError, "HTTP 307"),
        (Answer(b"<html>", 502), NotReadyError, "Bad Gateway"),
        (Answer(["x"], 404), ProblemError, "Not Found"),
    ],
)
def test_something_else_at_the_address_is_told_as_that(
    caller: Blocking, service: Open, answer: Answer, error: type[CharwganError], message: str
) -> None:
    url = service(answer).url
    with pytest.raises(error, match=message):
        caller.call(url, "generate", 1)
    failed = caller.stream(url, 1)
    assert (type(failed.error), failed.rows) == (error, [])


def test_a_proxy_that_cannot_reach_the_service_is_asked_again(caller: Blocking, service: Open) -> None:
    page = {"Content-Type": "text/html"}
    there = service(Answer(b"<html>", 502, page), Answer(b"<html>", 504, page), generated)
    assert list(caller.call(there.url, "generate", 1, seed=1)) == expected(1, 0, 1)
    assert len(caller.clock.slept) == 2


def test_ready_says_yes_or_no(caller: Blocking, service: Open) -> None:
    ready = Answer({"status": "ready", "model": MODEL})
    there = service(problem(503, "not-ready"), Answer(b"<html>", 502), ready, problem(404, "not-found"))
    assert [caller.call(there.url, "ready") for _ in range(3)] == [False, False, True]
    with pytest.raises(ProblemError):
        caller.call(there.url, "ready")
    assert caller.call(f"http://127.0.0.1:{free_port()}", "ready") is False
    assert caller.clock.slept == []


def test_waiting_ends_when_the_service_is_ready(caller: Blocking, service: Open) -> None:
    port, warming = free_port(), problem(503, "not-ready")
    ready = Answer({"status": "ready", "model": MODEL})
    caller.clock.meanwhile = lambda: (
        service(warming, warming, ready, port=port) if len(caller.clock.slept) == 3 else None
    )
    caller.call(f"http://127.0.0.1:{port}", "wait_until_ready", 60)
    assert len(caller.clock.slept) == 5


def test_waiting_for_a_service_that_does_not_get_ready_ends_with_the_reason(caller: Blocking, service: Open) -> None:
    there = service(problem(503, "not-ready"))
    with pytest.raises(NotReadyError):
        caller.call(there.url, "wait_until_ready", 20)
    assert sum(caller.clock.slept) == pytest.approx(20)
    with pytest.raises(UnreachableError):
        caller.call(f"http://127.0.0.1:{free_port()}", "wait_until_ready", 0)
