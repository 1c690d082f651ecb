"""Strings a minute: what is refused, what is told, and where it is counted."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage

from model.errors import ConfigurationError, MissingDependencyError
from service import limits
from service.limits import (
    BeyondRateError,
    Counts,
    Memory,
    RateLimit,
    RateLimitedError,
    Shared,
    make_limiter,
    open_redis,
    who,
)
from service.settings import Settings

NOON = 28_000_000 * 60  # a minute begins

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    """A time that the test sets, in seconds."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limit_of(limit: int, clock: Clock | None = None) -> RateLimit:
    return RateLimit(limit, Memory(), clock or Clock())


async def refused(limit: RateLimit, name: str, n: int) -> RateLimitedError:
    with pytest.raises(RateLimitedError) as error:
        await limit.take(name, n)
    return error.value


async def left(limit: RateLimit, name: str) -> int:
    """What an answer says is left, when nothing is asked for."""
    match = re.fullmatch(r'"strings";r=(\d+);t=\d+', (await limit.take(name, 0)).headers["RateLimit"])
    assert match
    return int(match[1])


async def test_all_of_a_minute_may_be_used_and_not_one_string_more() -> None:
    limit = limit_of(100)
    await limit.take("a", 60)
    await limit.take("a", 40)
    error = await refused(limit, "a", 1)
    assert (error.bound, error.given, error.left) == (100, 1, 0)
    assert str(error) == "1 strings were asked for, 0 of 100 are left in this minute"


async def test_each_name_has_a_minute_of_its_own() -> None:
    limit = limit_of(10)
    await limit.take("a", 10)
    assert (await limit.take("b", 10)).n == 10
    assert (await refused(limit, "a", 1)).left == 0


async def test_a_refusal_costs_nothing() -> None:
    limit = limit_of(100)
    await limit.take("a", 90)
    for _ in range(50):
        assert (await refused(limit, "a", 11)).left == 10
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


async def test_more_than_a_minute_holds_is_refused_for_good_and_names_both() -> None:
    error: BeyondRateError
    with pytest.raises(BeyondRateError) as raised:
        await limit_of(100).take("a", 101)
    error = raised.value
    assert (error.bound, error.given) == (100, 101)
    assert "at most 100" in str(error)
    assert "got 101" in str(error)
    assert "Retry-After" not in error.headers  # no waiting helps


async def test_headers_say_what_is_left_and_until_when() -> None:
    clock = Clock(NOON + 14.5)
    limit = limit_of(1000, clock)
    headers = (await limit.take("a", 300)).headers
    assert headers == {"RateLimit": '"strings";r=700;t=46', "RateLimit-Policy": '"strings";q=1000;qu="strings";w=60'}
    error = await refused(limit, "a", 701)
    assert error.headers == headers | {"Retry-After": "46"}
    assert error.retry_after_s == 46


async def test_what_was_not_made_is_given_back() -> None:
    limit = limit_of(100)
    charge = await limit.take("a", 100)
    await limit.give_back(charge, 30)
    assert await left(limit, "a") == 30
    await limit.give_back(await limit.take("a", 30))
    assert await left(limit, "a") == 30


async def test_what_was_paid_in_a_minute_that_is_over_is_not_given_back() -> None:
    clock = Clock()
    limit = limit_of(100, clock)
    charge = await limit.take("a", 100)
    clock.now += 60
    await limit.take("a", 100)
    await limit.give_back(charge)
    assert await left(limit, "a") == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.floats(0, 20)), max_size=60))
def test_a_minute_lets_through_what_fits_and_no_more(requests: list[tuple[str, int, float]]) -> None:
    async def ask() -> None:
        clock = Clock()
        limit = limit_of(50, clock)
        passed: dict[tuple[str, int], int] = {}
        for name, n, pause in requests:
            minute = name, math.floor(clock.now / 60)
            before = passed.get(minute, 0)
            if before + n > 50:
                assert (await refused(limit, name, n)).left == 50 - before
            else:
                await limit.take(name, n)
                passed[minute] = before + n
            clock.now += pause

    asyncio.run(ask())


async def test_memory_keeps_nothing_of_minutes_that_are_over() -> None:
    counts, clock = Memory(), Clock()
    limit = RateLimit(10, counts, clock)
    for number in range(1000):
        await limit.take(f"address:{number}", 1)
    clock.now += 60
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


# Redis: a fake that runs the library's scripts, and the real one where it is installed.

Open = Callable[[], Shared]


@contextmanager
def fake() -> Iterator[Open]:
    server = fakeredis.FakeServer()
    options: Any = {"connection_class": fakeredis.FakeAsyncRedisConnection, "server": server}
    address = "async+redis://localhost:1"
    yield lambda: Shared(RedisStorage(address, implementation="redispy", wrap_exceptions=True, **options))


@contextmanager
def real(folder: Path) -> Iterator[Open]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    path = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if "eady to accept connections" in line:
                break
        try:
            yield lambda: Shared(open_redis(f"redis+unix://{path}"))
        finally:
            process.terminate()


@pytest.fixture(params=["fake", "redis-server"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with fake() if request.param == "fake" else real(tmp_path) as open_shared:
        yield open_shared


@asynccontextmanager
async def replicas(open_shared: Open, number: int = 2) -> Any:
    shared = [open_shared() for _ in range(number)]
    try:
        yield shared
    finally:
        for counts in shared:
            await counts.close()


async def test_replicas_share_what_is_left(opened: Open) -> None:
    async with replicas(opened) as shared:
        clock = Clock()
        first, second = (RateLimit(100, counts, clock) for counts in shared)
        await first.take("key:a", 60)
        error = await refused(second, "key:a", 41)
        assert error.left == 40
        charge = await second.take("key:a", 40)
        await refused(first, "key:a", 1)
        await second.take("key:b", 100)
        await second.give_back(charge, 15)
        assert await left(first, "key:a") == 15
        clock.now += 60
        assert await left(first, "key:a") == 100


async def test_no_race_of_replicas_lets_more_through(opened: Open) -> None:
    async with replicas(opened, 4) as shared:
        limits_ = [RateLimit(100, counts, Clock()) for counts in shared]
        tasks: list[Awaitable[Any]] = [limit.take("key:a", 7) for limit in limits_ for _ in range(10)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        passed = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert all(isinstance(answer, RateLimitedError) for answer in answers if isinstance(answer, BaseException))
        assert 1 <= len(passed) <= 100 // 7
        assert await left(limits_[0], "key:a") == 100 - 7 * len(passed)


async def test_counts_do_not_outlive_their_minute_by_much(opened: Open) -> None:
    async with replicas(opened, 1) as (counts,):
        await counts.add(7, "key:a", 5)
        await counts.add(7, "key:a", 5)
        client = counts.storage.bridge.get_connection()
        (key,) = await client.keys("*")
        assert 0 < await client.ttl(key) <= 60


def redis_at(port: int, clock: Clock) -> Shared:
    return Shared(open_redis(f"redis://:hunter2@127.0.0.1:{port}/0"), clock)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port on which connections are accepted, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("port_of", [closed_port, silent_port])
async def test_without_its_redis_a_replica_counts_for_itself(
    port_of: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "REDIS_TIMEOUT_S", 0.05)
    with port_of() as port:
        counts = redis_at(port, Clock())
        limit = RateLimit(10, counts, Clock())
        await limit.take("a", 8)
        await refused(limit, "a", 3)
        await limit.take("a", 2)
        await counts.close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "each replica counts for itself" in record.getMessage()
    assert "hunter2" not in record.getMessage()


async def test_a_lost_redis_is_told_of_once_a_minute_and_asked_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, clock = fakeredis.FakeServer(), Clock(0)
    options: Any = {"connection_class": fakeredis.FakeAsyncRedisConnection, "server": server}
    address = "async+redis://localhost:1"
    counts = Shared(RedisStorage(address, implementation="redispy", wrap_exceptions=True, **options), clock)
    assert await counts.add(1, "a", 1) == 1
    server.connected = False
    for clock.now in range(0, 120, 2):
        await counts.add(1, "b", 1)
    assert len(caplog.records) == 2
    server.connected = True
    assert await counts.add(1, "a", 1) == 1  # the pause lasts
    clock.now += limits.REDIS_PAUSE_S
    assert await counts.add(1, "a", 1) == 2
    await counts.close()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("redis://localhost:6379/1", RedisStorage),
        ("rediss://user:secret@localhost:6379", RedisStorage),
        ("redis+unix:///run/redis.sock", RedisStorage),
        ("redis+cluster://localhost:6379,localhost:6380", RedisClusterStorage),
        ("redis+sentinel://localhost:26379/mymaster", RedisSentinelStorage),
    ],
)
async def test_every_form_of_address_that_the_settings_accept_is_understood(address: str, kind: type[Any]) -> None:
    limit = make_limiter(settings(rate_limit=1, rate_limit_storage=address))
    assert limit is not None
    assert isinstance(limit.counts, Shared)
    assert type(limit.counts.storage) is kind
    await limit.close()


@pytest.mark.parametrize("address", ["redis://:secret@host", "redis://:secret@host:port", "redis+sentinel://secret:1"])
async def test_an_address_that_is_wrong_is_not_repeated(address: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        open_redis(address)
    assert "secret" not in str(error.value)
    assert "redis://HOST:PORT" in str(error.value)


@pytest.mark.parametrize("package", ["redis", "limits"])
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=re.escape("pip install '.[redis]'")):
        open_redis("redis://localhost:6379")


def test_both_places_count_alike() -> None:
    counts: list[Counts] = [Memory()]
    with fake() as open_shared:
        counts.append(open_shared())

    async def count(place: Counts) -> list[int]:
        steps = [(1, "a", 5), (1, "b", 2), (1, "a", -3), (2, "a", 1), (2, "a", 0)]
        result = [await place.add(*step) for step in steps]
        await place.close()
        return result

    first, second = (asyncio.run(count(place)) for place in counts)
    assert first == second == [5, 2, 2, 1, 1]
