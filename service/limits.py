"""How much each may ask for: strings a minute, for each key, or for each address where there are no keys.

A minute begins with the clock's, for everyone: what is left and when it comes back can be said exactly, counting needs
one number for each key, and replicas agree without talking.  The price: around the turn of a minute up to twice the
limit may pass within 60 s.

A request pays for all its strings before the first is made, a stream too: it is refused whole, with a status and a
time, and never breaks off or stalls in the middle.  What it did not get it may be given back.

Several replicas share their counts in a Redis, through the library ``limits``.  In memory they are counted here: the
library's own memory looks through all keys time and again (every 10 ms on a thread, or with every request on the event
loop), which cost 12 to 40 us a request and 130 us with 100,000 addresses; a dictionary costs 1.
"""

from __future__ import annotations

import asyncio
import logging
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


class RateLimitedError(Exception):
    """The strings of this minute are used up.

    bound: strings a minute.  given: strings asked for.  headers: RateLimit, RateLimit-Policy and Retry-After.
    """

    def __init__(self, bound: int, given: int, left: int, retry_after_s: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"{given} strings were asked for, {left} of {bound} are left in this minute")
        self.bound, self.given, self.left, self.retry_after_s = bound, given, left, retry_after_s
        self.headers = headers


class BeyondRateError(Exception):
    """More strings in one request than a whole minute has, so that no waiting helps.  bound, given: as above."""

    def __init__(self, bound: int, given: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"n must be at most {bound}, the strings of a minute, got {given}")
        self.bound, self.given, self.headers = bound, given, headers


class Counts(Protocol):
    """Where strings are counted."""

    async def add(self, minute: int, name: str, n: int) -> int:
        """Count n more for a name, or fewer if n is negative; returns what it has in this minute now."""

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

    def __init__(self, limit: int, counts: Counts, clock: Callable[[], float] = time.time) -> None:
        self.limit, self.counts, self.clock = limit, counts, clock
        # The unit is strings, and not requests, which a policy without qu would mean.
        self._policy = f'"strings";q={limit};qu="strings";w={MINUTE_S}'

    async def take(self, name: str, n: int) -> Charge:
        """Let a name pay for n strings.

        Raises RateLimitedError if fewer are left in this minute, and BeyondRateError if no minute has as many.
        """
        minute, second = divmod(int(self.clock()), MINUTE_S)
        if n > self.limit:
            raise BeyondRateError(self.limit, n, {"RateLimit-Policy": self._policy})
        used = await self.counts.add(minute, name, n)
        if used <= self.limit:
            return Charge(minute, name, n, self._headers(self.limit - used, MINUTE_S - second))
        used = await self.counts.add(minute, name, -n)  # a refusal costs nothing
        left, retry_after_s = max(0, self.limit - used), MINUTE_S - second
        headers = self._headers(left, retry_after_s) | {"Retry-After": str(retry_after_s)}
        raise RateLimitedError(self.limit, n, left, retry_after_s, headers)

    async def give_back(self, charge: Charge, n: int | None = None) -> None:
        """Give back n strings of a charge (all, if not told) that were not made.  When its minute is over, nothing."""
        if int(self.clock()) // MINUTE_S == charge.minute:
            await self.counts.add(charge.minute, charge.name, -(charge.n if n is None else n))

    async def close(self) -> None:
        """Let go of connections."""
        await self.counts.close()

    def _headers(self, left: int, seconds: int) -> dict[str, str]:
        """As in draft-ietf-httpapi-ratelimit-headers-11: r strings within the next t seconds."""
        return {"RateLimit": f'"strings";r={left};t={seconds}', "RateLimit-Policy": self._policy}


class Memory:
    """Counts of this process alone: those of one minute, which the next minute's replace."""

    def __init__(self) -> None:
        self.minute, self.used = -1, dict[str, int]()

    async def add(self, minute: int, name: str, n: int) -> int:
        """See Counts."""
        if minute != self.minute:
            self.minute, self.used = minute, {}
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

    def __init__(self, storage: RedisStorage, clock: Callable[[], float] = time.monotonic) -> None:
        from limits.errors import StorageError

        self.storage, self.clock = storage, clock
        self.alone = Memory()
        self._failures = StorageError, OSError  # a TimeoutError is an OSError
        self._ask_again_at = self._warn_again_at = float("-inf")

    async def add(self, minute: int, name: str, n: int) -> int:
        """See Counts."""
        if self.clock() >= self._ask_again_at:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    return await self.storage.incr(f"{name}/{minute}", MINUTE_S, n)
            except self._failures as error:
                self._failed(error.__cause__ or error)
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
        from limits.aio.storage.redis.redispy import RedispyBridge

        assert isinstance(self.storage.bridge, RedispyBridge)
        client: Any = self.storage.bridge.get_connection()
        await client.aclose()


def make_limiter(settings: Settings) -> RateLimit | None:
    """The limit of the settings; None if they set none.

    Raises MissingDependencyError if a Redis is to count and its packages are not installed, ConfigurationError if the
    address of the Redis cannot be read.
    """
    if settings.rate_limit is None:
        return None
    address = settings.rate_limit_storage
    return RateLimit(settings.rate_limit, Memory() if address == "memory://" else Shared(open_redis(address)))


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
        storage = storage_from_string(f"async+{address}", implementation="redispy", wrap_exceptions=True)
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
