"""When to ask again: never before the service says, and not all at the same instant."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from service.client.errors import ClientError, NotReadyError, RateLimitedError, UnreachableError

LONGEST_BACKOFF_S = 8.0
PASSING = (UnreachableError, RateLimitedError, NotReadyError)  # what asking again can cure


@dataclass(frozen=True)
class Policy:
    """How often to ask again, in how many seconds altogether."""

    retries: int
    patience_s: float
    clock: Callable[[], float]


class Patience:
    """What is left of a policy in one call."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._asked = policy, 0
        self._end = policy.clock() + policy.patience_s

    def wait(self, error: ClientError, passing: tuple[type[ClientError], ...] = PASSING) -> float:
        """Seconds until asking again.  Raises the error if that cannot help, or not in time."""
        backoff = min(0.25 * 2 ** min(self._asked, 10), LONGEST_BACKOFF_S)
        least, most = backoff / 2, backoff
        if (told := error.retry_after_s) is not None:
            least, most = told, told + max(backoff, min(told / 4, LONGEST_BACKOFF_S))
        self._asked += 1
        left = self._end - self._policy.clock()
        if least > left or self._asked > self._policy.retries or not isinstance(error, passing):
            raise error
        return min(random.uniform(least, most), left)
