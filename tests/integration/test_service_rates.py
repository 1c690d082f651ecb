"""Strings a minute, as clients meet them: what is paid, what is given back and what is owed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_engine import DEADLINE_S, FakeEngine
from running import HEAD, Running, assert_problem, running, until

from service.limits import MINUTE_S
from service.security import issue

KEYS = {name: issue(name) for name in ("laptop", "phone")}
INTERPOLATION = {"from": {"seed": 1}, "to": {"seed": 2}, "steps": 5}
NDJSON = {"accept": "application/x-ndjson"}
NEVER = {"pattern": "9{12}"}  # which no string of the engine is


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


def limited(**settings: Any) -> Any:
    return running(keys="\n".join(line for _, line in KEYS.values()), rate_limit=100, **settings)


def left(answer: httpx.Response) -> int:
    return int(answer.headers["ratelimit"].split(";")[1].removeprefix("r="))


def pin(service: Running, minute: int = 100) -> None:
    """Let it be the 20th second of a minute from now on."""
    service.app.state.serving.limiter.clock = lambda: minute * MINUTE_S + 20.0


def test_every_answer_says_what_is_left() -> None:
    with limited() as service:
        pin(service)
        answer = service.ask("/v1/generate", {"n": 30}, **bearer("laptop"))
        assert answer.headers["ratelimit"] == '"strings";r=70;t=40'
        assert answer.headers["ratelimit-policy"] == '"strings";q=100;qu="strings";w=60'
        assert left(service.ask("/v1/score", {"texts": ["1", "2"]}, **bearer("laptop"))) == 68
        assert left(service.ask("/v1/interpolate", INTERPOLATION, **bearer("laptop"))) == 63
        stream = bearer("laptop") | {"accept": "application/x-ndjson"}
        assert left(service.ask("/v1/generate", {"n": 60}, **stream)) == 3
        assert left(service.ask("/v1/generate", {"n": 30}, **bearer("phone"))) == 70
        refused = service.ask("/v1/generate", {"n": 4}, **bearer("laptop"))
        content = assert_problem(refused, 429, "rate-limited")
        assert "4 strings were asked for, 3 of 100 are left in this minute" in content["detail"]
        assert refused.headers["retry-after"] == "40"
        assert left(refused) == 3
        pin(service, 101)
        assert left(service.ask("/v1/generate", {"n": 4}, **bearer("laptop"))) == 96


@pytest.mark.parametrize(
    ("path", "body", "field", "bound"),
    [
        ("/v1/generate", {"n": 101}, "n", "an integer between 1 and 100"),
        ("/v1/score", {"texts": ["1"] * 101}, "texts", "an array of 1 to 100 items"),
        ("/v1/interpolate", INTERPOLATION | {"steps": 101}, "steps", "an integer between 2 and 100"),
    ],
)
def test_more_than_a_minute_has_is_said_to_be_too_much(
    path: str, body: dict[str, object], field: str, bound: str
) -> None:
    with limited() as service:
        refused = service.ask(path, body, **bearer("laptop"))
        (error,) = assert_problem(refused, 422, "invalid-field")["errors"]
        assert (error["field"], error["bound"]) == (field, bound)
        assert "retry-after" not in refused.headers
        assert left(service.ask("/v1/generate", {"n": 100}, **bearer("laptop"))) == 0


def test_what_is_refused_costs_nothing() -> None:
    """Bodies that are wrong, constraints that nothing meets, and a queue that is full."""
    engine = FakeEngine(gated=True)
    with limited(engine=engine, max_n=20, max_strings_queued=20, slice=8) as service, ThreadPoolExecutor() as pool:
        pin(service)
        waiting = pool.submit(service.ask, "/v1/generate", {"n": 20}, **bearer("laptop"))
        assert engine.entered.acquire(timeout=DEADLINE_S)
        assert_problem(service.ask("/v1/generate", {"n": 20}, **bearer("laptop")), 429, "queue-full")
        stream = bearer("laptop") | {"accept": "application/x-ndjson"}
        accepted = [pool.submit(service.ask, "/v1/generate", {"n": 8}, **bearer("phone"))]
        assert engine.entered.acquire(timeout=DEADLINE_S)  # both runs of the network are taken
        accepted.append(pool.submit(service.ask, "/v1/generate", {"n": 8}, **bearer("phone")))
        until(lambda: service.queued == 20)
        assert_problem(service.ask("/v1/generate", {"n": 20}, **stream), 429, "queue-full")
        for body in ({"n": 0}, {"min_length": 17}, {"model": "none"}, {"n": 21}):
            assert service.ask("/v1/generate", body, **bearer("laptop")).status_code in (404, 422)
        engine.open()
        assert left(waiting.result()) == 80
        assert sorted(left(answer.result()) for answer in accepted) == [84, 92]
        assert left(service.ask("/v1/generate", {"n": 1}, **bearer("laptop"))) == 79


def test_without_keys_an_address_has_its_share() -> None:
    with running(rate_limit=10) as service:
        pin(service)
        assert left(service.post(n=4)) == 6
        assert_problem(service.post(n=7), 429, "rate-limited")
        assert service.client.get("/livez").status_code == 200


def made(service: Running) -> int:
    """Strings that the network has made, or tried to."""
    return sum(map(len, service.engine.runs))


def spent(service: Running) -> int:
    """What the only address that asks has paid."""
    return int(sum(service.app.state.serving.limiter.counts.used.values()))


def test_what_constraints_refuse_is_paid_for() -> None:
    with running(rate_limit=100) as service:
        pin(service)
        answer = service.post(n=1, seed=1, pattern=".*7")
        assert answer.json()["attempted"] == 8
        assert 100 - left(answer) == made(service) >= 8
        stream = service.ask("/v1/generate", {"n": 2, "seed": 1, "pattern": ".*[37]"}, **NDJSON)
        assert '"accepted":2' in stream.text
        until(lambda: spent(service) == made(service))


def test_who_owes_strings_gets_none_before_they_are_paid() -> None:
    with running(rate_limit=100) as service:
        pin(service)
        failed = service.post(n=1, max_attempts=250, **NEVER)
        assert_problem(failed, 422, "too-many-attempts")
        assert failed.headers["ratelimit"] == '"strings";r=0;t=100'  # at the second turn 50 of 250 are left to pay
        for minute, seconds in ((100, 100), (101, 40)):
            pin(service, minute)
            refused = service.post(n=1)
            content = assert_problem(refused, 429, "rate-limited")
            assert f"and {250 - 100 * (minute - 99)} are owed: try again after {seconds} s" in content["detail"]
            assert refused.headers["retry-after"] == str(seconds)
        pin(service, 102)
        assert left(service.post(n=1)) == 49


def test_of_a_request_that_failed_what_was_not_tried_is_given_back() -> None:
    with running(rate_limit=100, slice=8) as service:
        pin(service)
        service.engine.broken = RuntimeError("the engine broke")
        failed = service.post(n=20)
        assert_problem(failed, 500, "engine-failed")
        assert left(failed) == 92


def test_of_a_request_past_its_deadline_what_was_not_tried_is_given_back() -> None:
    engine = FakeEngine(gated=True)
    with running(engine, rate_limit=100, slice=8) as service:
        pin(service)
        late = service.post(n=20, deadline_s=0.1)
        assert_problem(late, 503, "deadline-exceeded")
        assert left(late) == 92


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_of_a_request_whose_client_has_gone_what_was_not_tried_is_given_back(accept: str) -> None:
    engine = FakeEngine(gated=True)
    with running(engine, rate_limit=100, slice=8) as service:
        pin(service)
        body = b'{"n": 60}'
        with service.raw(f"{HEAD}Accept: {accept}\nContent-Length: {len(body)}", body):
            assert engine.entered.acquire(timeout=DEADLINE_S)
            assert spent(service) == 60
        until(lambda: spent(service) == 8)
        assert left(service.ask("/v1/score", {"texts": ["1"] * 93}, **{"accept": "*/*"})) == 92
