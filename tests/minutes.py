"""Minutes that pass when a test says so, and what a rate limit tells in them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from service.limits import RateLimit, RateLimitedError

NOON = 28_000_000 * 60  # a minute begins


class Clock:
    """A time that the test sets, in seconds."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def refused(limit: RateLimit, name: str, n: int) -> RateLimitedError:
    with pytest.raises(RateLimitedError) as error:
        await limit.take(name, n)
    return error.value


def told(headers: Mapping[str, str]) -> tuple[int, int]:
    """What an answer says is left, and in how many seconds there is more."""
    match = re.fullmatch(r'"strings";r=(\d+);t=(\d+)', headers["RateLimit"])
    assert match
    return int(match[1]), int(match[2])


async def left(limit: RateLimit, name: str) -> int:
    """What an answer says is left, when nothing is asked for."""
    return told((await limit.take(name, 0)).headers)[0]
