"""Strings a minute in a Redis: a fake that runs our script, and the real one where it is installed."""

from __future__ import annotations

import asyncio
import logging
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
from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage
from minutes import Clock, left, refused, told

from model.errors import ConfigurationError, MissingDependencyError
from service import limits
from service.limits import Counts, Memory, RateLimit, RateLimitedError, Shared, make_limiter, open_redis
from service.settings import Settings

pytestmark = pytest.mark.anyio
LIMIT = 100


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def fake_storage(server: fakeredis.FakeServer) -> RedisStorage:
    options: Any = {"connection_class": fakeredis.FakeAsyncRedisConnection, "server": server}
    return RedisStorage("async+redis://localhost:1", implementation="redispy", **options)


Open = Callable[[], Shared]


@contextmanager
def fake() -> Iterator[Open]:
    server = fakeredis.FakeServer()
    yield lambda: Shared(fake_storage(server), LIMIT)


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
            yield lambda: Shared(open_redis(f"redis+unix://{path}"), LIMIT)
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
        first, second = (RateLimit(counts, clock) for counts in shared)
        await first.take("key:a", 60)
        assert told((await refused(second, "key:a", 41)).headers)[0] == 40
        charge = await second.take("key:a", 40)
        await refused(first, "key:a", 1)
        await second.take("key:b", 100)
        await second.settle(charge, 25)
        assert await left(first, "key:a") == 15
        clock.now += 60
        assert await left(first, "key:a") == 100


async def test_replicas_share_what_is_owed(opened: Open) -> None:
    async with replicas(opened) as shared:
        clock = Clock()
        first, second = (RateLimit(counts, clock) for counts in shared)
        await first.settle(await first.take("key:a", 1), 250)
        for minute in (1, 2):
            assert (await refused(second, "key:a", 51)).retry_after_s == 60 * (4 - minute)
            clock.now += 60
        assert await left(second, "key:a") == 50


async def test_a_replica_whose_clock_is_behind_counts_to_the_minute_of_the_others(opened: Open) -> None:
    async with replicas(opened, 1) as (counts,):
        assert [await counts.add(minute, "key:a", 60) for minute in (7, 8, 7, 8, 9)] == [60, 60, 120, 180, 140]


async def test_no_race_of_replicas_lets_more_through(opened: Open) -> None:
    async with replicas(opened, 4) as shared:
        limits_ = [RateLimit(counts, Clock()) for counts in shared]
        tasks: list[Awaitable[Any]] = [limit.take("key:a", 7) for limit in limits_ for _ in range(10)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        passed = [answer for answer in answers if not isinstance(answer, BaseException)]
        assert all(isinstance(answer, RateLimitedError) for answer in answers if isinstance(answer, BaseException))
        assert 1 <= len(passed) <= 100 // 7
        assert await left(limits_[0], "key:a") == 100 - 7 * len(passed)


async def test_a_redis_forgets_a_name_when_its_minutes_have_paid(opened: Open) -> None:
    async with replicas(opened, 1) as (counts,):
        client = counts.storage.bridge.get_connection()
        for n, longest in ((5, 60), (90, 60), (300, 240), (-300, 60)):
            await counts.add(7, "key:a", n)
            (key,) = await client.keys("*")
            assert longest - 60 <= await client.ttl(key) <= longest


def redis_at(port: int, clock: Clock) -> Shared:
    return Shared(open_redis(f"redis://:hunter2@127.0.0.1:{port}/0"), 10, clock)


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
        limit = RateLimit(counts, Clock())
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
    counts = Shared(fake_storage(server), LIMIT, clock)
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
    limit = make_limiter(Settings(model=Path("m"), rate_limit=1, rate_limit_storage=address))
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
    counts: list[Counts] = [Memory(LIMIT)]
    with fake() as open_shared:
        counts.append(open_shared())

    async def count(place: Counts) -> list[int]:
        steps = [
            (1, "a", 5),
            (1, "b", 2),
            (1, "a", -3),
            (2, "a", 1),
            (2, "a", 330),
            (3, "b", 0),
            (4, "a", 0),
            (9, "a", 0),
        ]
        result = [await place.add(*step) for step in steps]
        await place.close()
        return result

    first, second = (asyncio.run(count(place)) for place in counts)
    assert first == second == [5, 2, 2, 1, 331, 0, 131, 0]
