"""What is done for a call, without any input or output: generators that yield steps and are sent what came of each."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from service.client.asking import Ask, Call
from service.client.errors import ClientError, CutOffError, NotReadyError, UnreachableError
from service.client.reading import Reply, response_of, understanding
from service.client.results import Row
from service.client.retries import Patience, Policy

T = TypeVar("T")

UNREADY = (UnreachableError, CutOffError, NotReadyError)  # not yet, or not any more


class Read:
    """A step: read on in the answer that is open.  Its reply is bytes, none at its end, or the error."""


Step = Ask | Read | float | list[Row]  # a float waits that many seconds; rows go to whoever reads the stream
Script = Generator[Step, Reply, T]


def calling(call: Call[T], policy: Policy) -> Script[T]:
    """One request and its answer, asked again while that can help."""
    patience = Patience(policy)
    while True:
        try:
            response = response_of((yield call.ask))
        except ClientError as error:
            yield patience.wait(error)
        else:
            with understanding():
                return call.read(response.json())


def asking_ready() -> Script[bool]:
    """Whether the service takes requests now; one that cannot be reached does not."""
    try:
        response_of((yield Ask("GET", "/readyz")))
    except UNREADY:
        return False
    return True


def awaiting_ready(timeout_s: float, clock: Callable[[], float]) -> Script[None]:
    """Until the service takes requests; raises what stood against it when the time is over."""
    end, pause = clock() + timeout_s, 0.05
    while True:
        try:
            response_of((yield Ask("GET", "/readyz", timeout_s=max(0.1, end - clock()))))
        except UNREADY:
            if (left := end - clock()) <= 0:
                raise
            yield min(pause, left)
            pause = min(2 * pause, 1.0)
        else:
            return
