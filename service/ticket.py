"""A job in the queue: what of it has come back, and how it may fail."""

from __future__ import annotations

import asyncio

from service.jobs import Generation, Job, Outcome


class QueueFullError(Exception):
    """The queue has no room for a request now; it should have after retry_after_s seconds."""

    def __init__(self, queued: int, bound: int, wanted: int, retry_after_s: int) -> None:
        super().__init__(f"{queued} strings wait already, at most {bound} may, {wanted} were asked for")
        self.retry_after_s = retry_after_s


class NotReadyError(Exception):
    """The service takes no requests."""


class EngineError(Exception):
    """The engine raised an error in a run that held some of the request's strings."""


class DeadlineError(Exception):
    """A request was not answered in time."""


class Ticket:
    """A submitted job, and what of it has come back; it belongs to the event loop.

    result: all that came of it; of a stream only the last chunk, for it has had the others.
    """

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.result: asyncio.Future[Outcome] = loop.create_future()
        self.outcome = Outcome()  # touched by the inference threads until the result is set
        self.queue_wait_s = self.inference_s = 0.0  # until its first run, and in all its runs
        self.chunks: list[Outcome] = []
        self.arrived = asyncio.Event()
        self.queued = 0  # strings that the bound of the queue counts
        self.running = False

    @property
    def streams(self) -> bool:
        """Whether the reader takes the job's strings as they come."""
        return isinstance(self.job, Generation) and self.job.window is not None
