"""How much each may ask for: strings a minute, for each key, or for each address where there are no keys.

A minute begins with the clock's, for everyone: what is left and when it comes back can be said exactly, counting needs
one number for each key, and replicas agree without talking.  The price: around the turn of a minute up to twice the
limit may pass within 60 s.

A request pays for all its strings before the first is made, a stream too: it is refused whole, with a status and a
time, and never breaks off or stalls in the middle.  When it has ended it pays for what was tried instead.  What nobody
tried is given back; what constraints refused is paid for too, and since that is known only then, a key may owe strings:
the minutes that follow pay for them first, and until they have nothing more is let through.

Several replicas share their counts in a Redis, which the library ``limits`` reaches in all its forms; none of its
strategies knows debts, so that what is counted is said here.  In memory too: the library's own memory looks through all
keys time and again (every 10 ms on a thread, or with every request on the event loop), which cost 12 to 40 us a request
and 130 us with 100,000 addresses; a dictionary costs 1.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from model.errors import ConfigurationError, MissingDependencyError, how_to_install

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

    from service.settings import Settings

logger = logging.getLogger("charwgan.service")

MINUTE_S = 60
REDIS_TIMEOUT_S = 0.5  # within which a Redis must have counted
REDIS_PAUSE_S = 5.0  # in which it is not asked again when it has not
WARN_EVERY_S = 60.0
IPV4_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address, on a socket that takes both


# Memory.add, in a Redis.  It forgets a name when the minutes have paid for all that it owes.
ADD = """
local minute, limit, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'minute', 'used')
local latest, used = tonumber(held[1]) or minute, tonumber(held[2]) or 0
used = math.max(0, math.max(0, used - math.max(0, minute - latest) * limit) + n)
redis.call('HSET', KEYS[1], 'minute', math.max(minute, latest), 'used', used)
redis.call('EXPIRE', KEYS[1], 60 * (1 + math.floor(used / limit)))
return used
"""


class RateLimitedError(Exception):
    """The strings of this minute are used up, or those of further ones are owed.

    headers: RateLimit, RateLimit-Policy and Retry-After.
    """

    def __init__(self, detail: str, retry_after_s: int, headers: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.retry_after_s, self.headers = retry_after_s, headers


class Counts(Protocol):
    """Where strings are counted.  limit: strings a minute, by which what is owed becomes less."""

    limit: int

    async def add(self, minute: int, name: str, n: int) -> int:
        """Count n more for a name, or fewer if n is negative; returns what it has in this minute now.

        More than the limit is owed: the minutes that follow begin with what is beyond it.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Charge(NamedTuple):
    """What a request has paid.  headers: what its answer says of the limit."""

    minute: int
    name: str
    n: int
    headers: dict[str, str]


class RateLimit:
    """A limit of strings a minute for each name.

    clock: seconds since the epoch.
    """

    def __init__(self, counts: Counts, clock: Callable[[], float] = time.time) -> None:
        self.limit, self.counts, self.clock = counts.limit, counts, clock
        # The unit is strings, and not requests, which a policy without qu would mean.
        self._policy = f'"strings";q={self.limit};qu="strings";w={MINUTE_S}'

    async def take(self, name: str, n: int) -> Charge:
        """Let a name pay for n strings, at most as many as a minute has.

        Raises RateLimitedError if fewer are left in this minute.
        """
        minute, second = self._now()
        used = await self.counts.add(minute, name, n)
        if used <= self.limit:
            return Charge(minute, name, n, self._headers(used, second))
        used = await self.counts.add(minute, name, -n)  # a refusal costs nothing
        detail = f"{n} strings were asked for, {max(0, self.limit - used)} of {self.limit} are left in this minute"
        if used > self.limit:
            detail += f", and {used - self.limit} are owed"
        retry_after_s = self._wait_s(used, n, second)
        headers = self._headers(used, second) | {"Retry-After": str(retry_after_s)}
        raise RateLimitedError(detail, retry_after_s, headers)

    async def settle(self, charge: Charge, n: int) -> dict[str, str]:
        """Let a request that has ended pay for n strings instead; returns what its answer says of the limit.

        Fewer are given back while the minute lasts in which it paid, more are taken from this minute and the next.
        """
        minute, second = self._now()
        more = n - charge.n
        if more == 0 or (more < 0 and minute != charge.minute):
            return charge.headers
        return self._headers(await self.counts.add(minute, charge.name, more), second)

    async def close(self) -> None:
        """Let go of connections."""
        await self.counts.close()

    def _now(self) -> tuple[int, int]:
        """The minute, and the second in it."""
        return divmod(int(self.clock()), MINUTE_S)

    def _wait_s(self, used: int, n: int, second: int) -> int:
        """Seconds until a minute has n strings left that follows one in which so many are used."""
        minutes = max(1, math.ceil((used + n - self.limit) / self.limit))
        return minutes * MINUTE_S - second

    def _headers(self, used: int, second: int) -> dict[str, str]:
        """As in draft-ietf-httpapi-ratelimit-headers-11: r strings are left, and in t seconds there are more."""
        left, more_in_s = max(0, self.limit - used), self._wait_s(used, 1, second)
        return {"RateLimit": f'"strings";r={left};t={more_in_s}', "RateLimit-Policy": self._policy}


class Memory:
    """Counts of this process alone.  What a minute could not pay the next one begins with, and no name else."""

    def __init__(self, limit: int) -> None:
        self.limit, self.minute, self.used = limit, 0, dict[str, int]()

    async def add(self, minute: int, name: str, n: int) -> int:
        """See Counts."""
        if minute > self.minute:
            paid = (minute - self.minute) * self.limit
            self.used = {name: used - paid for name, used in self.used.items() if used > paid}
            self.minute = minute
        used = self.used[name] = max(0, self.used.get(name, 0) + n)
        return used

    async def close(self) -> None:
        """Nothing is open."""


class Shared:
    """Counts in a Redis, shared by all replicas that name it.

    While it cannot be reached, or takes longer than REDIS_TIMEOUT_S, the limit fails open: every replica counts for
    itself, so that up to as many times the limit may pass as there are replicas, and a warning is logged once a
    minute.  It is asked again after REDIS_PAUSE_S.
    """

    def __init__(self, storage: RedisStorage, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        from redis.exceptions import RedisError

        self.storage, self.limit, self.clock = storage, limit, clock
        self.alone = Memory(limit)
        self._client: Any = storage.bridge.get_connection()  # type: ignore[attr-defined]
        self._add = self._client.register_script(ADD)
        self._failures = RedisError, OSError  # a TimeoutError is an OSError
        self._ask_again_at = self._warn_again_at = float("-inf")

    async def add(self, minute: int, name: str, n: int) -> int:
        """See Counts."""
        if self.clock() >= self._ask_again_at:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return int(await self._add([f"charwgan:{name}"], [minute, self.limit, n]))
            except self._failures as error:
                self._failed(error)
        return await self.alone.add(minute, name, n)

    def _failed(self, error: BaseException) -> None:
        now = self.clock()
        self._ask_again_at = now + REDIS_PAUSE_S
        if now >= self._warn_again_at:
            self._warn_again_at = now + WARN_EVERY_S
            logger.warning(
                "the Redis of rate_limit_storage does not count (%s): each replica counts for itself meanwhile",
                type(error).__name__,
            )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def make_limiter(settings: Settings) -> RateLimit | None:
    """The limit of the settings; None if they set none.

    Raises MissingDependencyError if a Redis is to count and its packages are not installed, ConfigurationError if the
    address of the Redis cannot be read.
    """
    if settings.rate_limit is None:
        return None
    limit, address = settings.rate_limit, settings.rate_limit_storage
    return RateLimit(Memory(limit) if address == "memory://" else Shared(open_redis(address), limit))


def open_redis(address: str) -> RedisStorage:
    """The storage at an address; nothing is sent to it yet.  Raises as ``make_limiter``."""
    try:
        import redis  # noqa: F401
        from limits.aio.storage import RedisStorage
        from limits.storage import storage_from_string
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("limits", "redis"):
            raise
        raise MissingDependencyError(
            f"rate_limit_storage needs limits and redis, which are not installed: {how_to_install('redis')}"
        ) from error
    try:
        storage = storage_from_string(f"async+{address}", implementation="redispy")
    except Exception:  # of any kind, and with the address in it, which may hold a password
        raise ConfigurationError("rate_limit_storage must be redis://HOST:PORT, what was given is not shown") from None
    assert isinstance(storage, RedisStorage)
    return storage


def who(key: str | None, client: tuple[str, int] | None) -> str:
    """Whom a request is counted for: the name of its key, or the address it came from.

    Of an IPv6 address the first half counts: one subscriber has all of the rest.
    """
    if key is not None:
        return f"key:{key}"
    if client is None:  # a Unix socket
        return "address:local"
    host = client[0]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        host = packed[12:].hex() if packed.startswith(IPV4_MAPPED) else packed[:8].hex()
    return f"address:{host}"
