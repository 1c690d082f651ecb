"""Strings a minute: what is refused, what is told, what is owed, and who is counted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minutes import NOON, Clock, left, refused, told

from service.limits import Memory, RateLimit, make_limiter, who
from service.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def limit_of(limit: int, clock: Clock | None = None) -> RateLimit:
    return RateLimit(Memory(limit), clock or Clock())


async def test_all_of_a_minute_may_be_used_and_not_one_string_more() -> None:
    limit = limit_of(100)
    await limit.take("a", 60)
    await limit.take("a", 40)
    error = await refused(limit, "a", 1)
    assert told(error.headers)[0] == 0
    assert str(error) == "1 strings were asked for, 0 of 100 are left in this minute"


async def test_each_name_has_a_minute_of_its_own() -> None:
    limit = limit_of(10)
    await limit.take("a", 10)
    assert (await limit.take("b", 10)).n == 10
    assert told((await refused(limit, "a", 1)).headers)[0] == 0


async def test_a_refusal_costs_nothing() -> None:
    limit = limit_of(100)
    await limit.take("a", 90)
    for _ in range(50):
        assert told((await refused(limit, "a", 11)).headers)[0] == 10
    assert (await limit.take("a", 10)).n == 10


async def test_the_next_minute_is_whole_again() -> None:
    clock = Clock()
    limit = limit_of(10, clock)
    await limit.take("a", 10)
    clock.now += 59.999
    error = await refused(limit, "a", 1)
    assert error.retry_after_s == 1
    clock.now += error.retry_after_s
    await limit.take("a", 10)


async def test_who_waits_as_long_as_told_is_served_if_nobody_else_asks() -> None:
    for offset in (0.0, 0.001, 0.5, 1.0, 30.25, 59.0, 59.999):
        clock = Clock(NOON + offset)
        limit = limit_of(10, clock)
        await limit.take("a", 5)
        clock.now += (await refused(limit, "a", 6)).retry_after_s
        assert (await limit.take("a", 10)).n == 10


async def test_headers_say_what_is_left_and_until_when() -> None:
    clock = Clock(NOON + 14.5)
    limit = limit_of(1000, clock)
    headers = (await limit.take("a", 300)).headers
    assert headers == {"RateLimit": '"strings";r=700;t=46', "RateLimit-Policy": '"strings";q=1000;qu="strings";w=60'}
    error = await refused(limit, "a", 701)
    assert error.headers == headers | {"Retry-After": "46"}
    assert error.retry_after_s == 46


async def test_what_was_not_tried_is_given_back() -> None:
    limit = limit_of(100)
    charge = await limit.take("a", 100)
    assert told(await limit.settle(charge, 70)) == (30, 60)
    await limit.settle(await limit.take("a", 30), 0)
    assert await left(limit, "a") == 30


async def test_what_was_paid_in_a_minute_that_is_over_is_not_given_back() -> None:
    clock = Clock()
    limit = limit_of(100, clock)
    charge = await limit.take("a", 100)
    clock.now += 60
    await limit.take("a", 100)
    assert await limit.settle(charge, 0) == charge.headers
    assert await left(limit, "a") == 0


async def test_a_request_that_tried_what_it_paid_for_is_not_counted_again() -> None:
    limit = limit_of(100)
    charge = await limit.take("a", 40)
    assert await limit.settle(charge, 40) == charge.headers
    assert await left(limit, "a") == 60


async def test_what_was_tried_beyond_is_paid_in_the_same_minute_while_it_has_any() -> None:
    limit = limit_of(100)
    assert told(await limit.settle(await limit.take("a", 1), 70)) == (30, 60)
    assert str(await refused(limit, "a", 31)) == "31 strings were asked for, 30 of 100 are left in this minute"
    assert (await limit.take("a", 30)).n == 30


async def test_who_owes_is_refused_until_the_minutes_have_paid() -> None:
    clock = Clock(NOON + 20)
    limit = limit_of(100, clock)
    headers = await limit.settle(await limit.take("a", 10), 350)
    assert told(headers) == (0, 160)  # at the third turn 50 of 350 are left to pay
    error = await refused(limit, "a", 1)
    assert str(error) == "1 strings were asked for, 0 of 100 are left in this minute, and 250 are owed"
    assert error.headers["Retry-After"] == str(error.retry_after_s) == "160"
    assert (await refused(limit, "a", 51)).retry_after_s == 220
    clock.now += 159
    assert (await refused(limit, "a", 1)).retry_after_s == 1
    clock.now += 1
    assert await left(limit, "a") == 50
    assert (await limit.take("a", 50)).n == 50
    clock.now += 60
    assert await left(limit, "a") == 100


async def test_what_is_owed_from_a_minute_that_is_over_is_paid_in_this_one() -> None:
    clock = Clock()
    limit = limit_of(100, clock)
    charge = await limit.take("a", 10)
    clock.now += 600
    assert told(await limit.settle(charge, 40)) == (70, 60)


async def test_nobody_pays_what_another_owes() -> None:
    limit = limit_of(100)
    await limit.settle(await limit.take("a", 1), 1000)
    assert await left(limit, "b") == 100


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200), st.floats(0, 50)), max_size=60))
def test_no_name_gets_more_over_time_than_its_minutes_have(requests: list[tuple[int, int, float]]) -> None:
    """Whatever is tried beyond what was paid: a request is let through only when all that was tried is paid for."""

    async def ask() -> None:
        clock = Clock()
        limit, spent, minute = limit_of(50, clock), 0, 0
        for n, tried, pause in requests:
            now = int(clock.now - NOON) // 60
            spent, minute = max(0, spent - 50 * (now - minute)), now
            if spent + n > 50:
                error = await refused(limit, "a", n)
                assert told(error.headers)[0] == max(0, 50 - spent)
            else:
                await limit.settle(await limit.take("a", n), tried)
                spent += tried
            clock.now += pause

    asyncio.run(ask())


async def test_memory_keeps_nothing_of_minutes_that_are_over_but_what_is_owed() -> None:
    counts, clock = Memory(10), Clock()
    limit = RateLimit(counts, clock)
    for number in range(1000):
        await limit.take(f"address:{number}", 1)
    await limit.settle(await limit.take("debtor", 1), 25)
    clock.now += 60
    await limit.take("a", 1)
    assert counts.used == {"a": 1, "debtor": 15}
    clock.now += 120
    await limit.take("a", 1)
    assert counts.used == {"a": 1}


def test_a_key_and_an_address_are_never_taken_for_each_other() -> None:
    assert who("laptop", ("192.0.2.1", 1)) == who("laptop", ("192.0.2.2", 2)) == "key:laptop"
    assert who("192.0.2.1", None) != who(None, ("192.0.2.1", 1))


def test_an_address_is_one_whatever_its_port() -> None:
    assert who(None, ("192.0.2.1", 1)) == who(None, ("192.0.2.1", 2)) == "address:192.0.2.1"
    assert who(None, ("192.0.2.1", 1)) != who(None, ("192.0.2.2", 1))
    assert who(None, None) == "address:local"


def test_one_ipv6_subscriber_is_one_address() -> None:
    assert who(None, ("2001:db8:0:1::1", 1)) == who(None, ("2001:db8:0:1:ffff::2", 1))
    assert who(None, ("2001:db8:0:1::1", 1)) != who(None, ("2001:db8:0:2::1", 1))
    assert who(None, ("fe80::1%eth0", 1)) == who(None, ("fe80::2", 1))


def test_ipv4_addresses_on_an_ipv6_socket_stay_apart() -> None:
    assert who(None, ("::ffff:192.0.2.1", 1)) != who(None, ("::ffff:192.0.2.2", 1))


def settings(**given: Any) -> Settings:
    return Settings(model=Path("m"), **given)


def test_without_a_limit_nothing_is_counted() -> None:
    assert make_limiter(settings()) is None


def test_a_limit_counts_in_memory_unless_told_otherwise() -> None:
    limit = make_limiter(settings(rate_limit=100))
    assert limit is not None
    assert limit.limit == 100
    assert isinstance(limit.counts, Memory)


def test_counting_in_memory_loads_neither_limits_nor_redis() -> None:
    code = "import sys, service.limits; print({'limits', 'redis', 'fastapi'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "set()"
