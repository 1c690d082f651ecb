"""One queue bounded in strings, and one thread that runs the network on whatever is queued when it is free.

There is no timer: waiting for company only costs time.  Each run takes a fair share of every request that waits, so
that a large one never holds up a small one, and a request's strings are the same whoever shares its runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from time import perf_counter
from typing import Protocol, TypeVarTuple, Unpack

from service.inference import Rate, infer
from service.jobs import Generation, Job, Outcome, Piece, Scoring, Version

logger = logging.getLogger("charwgan.service")

LONGEST_RETRY_S = 600
SWEEP_S = 0.25  # how often requests past their deadline are looked for

Ts = TypeVarTuple("Ts")


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


class RunObserver(Protocol):
    """Who is told of every run: ``service.metrics``."""

    def observe_run(self, strings: int, seconds: float, waits_s: Sequence[float]) -> None:
        """Called on the inference thread.  waits_s: of the requests whose first strings these were."""


class Ticket:
    """A submitted job, and what of it has come back; it belongs to the event loop.

    result: of a job that is not a stream.
    """

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.result: asyncio.Future[Outcome] = loop.create_future()
        self.outcome = Outcome()  # touched by the inference thread until the result is set
        self.queue_wait_s = self.inference_s = 0.0  # until its first run, and in all its runs
        self.chunks: list[Outcome] = []
        self.arrived = asyncio.Event()

    @property
    def streams(self) -> bool:
        """Whether the reader takes the job's strings as they come."""
        return isinstance(self.job, Generation) and self.job.window is not None


class Batcher:
    """Collects jobs on one event loop, and works on them in one inference thread.

    max_strings_queued: bound of the queue.  slice_size: strings in one run of the network, at most.
    """

    def __init__(self, *, max_strings_queued: int, slice_size: int, observer: RunObserver | None = None) -> None:
        self.max_strings_queued = max_strings_queued
        self.slice_size = slice_size
        self.queued = 0  # strings that wait: accepted, and not yet in a run
        self._observer = observer
        # Those with strings that wait, in turn, and how many of them self.queued counts.
        self._waiting: OrderedDict[Ticket, int] = OrderedDict()
        self._wake = threading.Condition()
        self._closing = False
        self._rate = Rate()
        self._loop = asyncio.get_running_loop()
        self._open: set[Ticket] = set()
        self._ended = asyncio.Event()
        self._sweep = self._loop.call_later(SWEEP_S, self._drop_late)
        # A daemon, so that an engine that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def strings_per_s(self) -> float | None:
        """The rate of the latest runs; None before the first."""
        return self._rate.per_s

    def submit(self, job: Job) -> Ticket:
        """Queue a job.

        Raises QueueFullError if its strings do not fit in the queue, NotReadyError if that is closed.
        """
        ticket = Ticket(job, self._loop)
        with self._wake:
            if self._closing:
                raise NotReadyError("the service is ending")
            if self.queued + job.waiting > self.max_strings_queued:
                raise QueueFullError(self.queued, self.max_strings_queued, job.waiting, self._until_room(job.waiting))
            self._enter(ticket)
            self._wake.notify()
        self._open.add(ticket)
        return ticket

    def withdraw(self, ticket: Ticket, reason: Exception | None = None) -> None:
        """Take a job out of the queue; its result, if still open, becomes the reason or is cancelled."""
        if ticket.result.done():
            return
        # First, since the inference thread puts nothing back whose result is known.
        if reason is not None:
            ticket.result.set_exception(reason)
            ticket.result.exception()  # whoever waited may have gone as well, and then nobody asks
        else:
            ticket.result.cancel()
        self._settled(ticket)
        ticket.arrived.set()

    async def stream(self, ticket: Ticket) -> AsyncIterator[Outcome]:
        """What the runs of a stream give, as it comes; no more is made than the reader takes.

        Raises what the job was withdrawn for, EngineError or DeadlineError among it.
        """
        job = ticket.job
        assert isinstance(job, Generation)
        while True:
            await ticket.arrived.wait()
            ticket.arrived.clear()
            chunks, ticket.chunks = ticket.chunks, []
            for chunk in chunks:
                yield chunk
                with self._wake:
                    job.grant(len(chunk.texts))
                    self._enter(ticket)
                    self._wake.notify()
            if ticket.result.done() and not ticket.chunks:
                ticket.result.result()
                return

    async def close(self, grace_s: float) -> None:
        """Take no further jobs, answer those that are open, and end the thread; give up after grace_s seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        try:
            await asyncio.wait_for(self._ended.wait(), grace_s)
        except TimeoutError:
            logger.error("the engine did not end within %g s", grace_s)
        self._sweep.cancel()

    # The queue, whose entries change under the lock.

    def _enter(self, ticket: Ticket) -> None:
        """Let the queue hold a job as long as it has strings waiting, and count them."""
        waiting = 0 if ticket.result.done() else ticket.job.waiting
        if waiting:
            self.queued += waiting - self._waiting.get(ticket, 0)
            self._waiting[ticket] = waiting
        else:
            self._leave(ticket)

    def _leave(self, ticket: Ticket) -> None:
        self.queued -= self._waiting.pop(ticket, 0)

    def _settled(self, ticket: Ticket) -> None:
        """The result of a job is known, so that nothing of it need wait any more."""
        self._open.discard(ticket)
        with self._wake:
            self._leave(ticket)
            self._wake.notify()

    def _until_room(self, n: int) -> int:
        excess = self.queued + n - self.max_strings_queued
        seconds = excess / self._rate.per_s if self._rate.per_s else 1.0
        return min(max(1, math.ceil(seconds)), LONGEST_RETRY_S)

    def _drop_late(self) -> None:
        now = perf_counter()
        for ticket in [ticket for ticket in self._open if ticket.job.deadline < now]:
            seconds = ticket.job.deadline - ticket.job.submitted
            self.withdraw(ticket, DeadlineError(f"the answer was not made within {seconds:.3g} s"))
        self._sweep = self._loop.call_later(SWEEP_S, self._drop_late)

    # The inference thread.

    def _run(self) -> None:
        while pieces := self._take():
            runs: dict[tuple[Version, bool], list[tuple[Ticket, Piece]]] = {}
            for ticket, piece in pieces:
                runs.setdefault((piece.job.version, isinstance(piece.job, Scoring)), []).append((ticket, piece))
            for run in runs.values():
                self._infer(run)
        self._post(self._ended.set)

    def _take(self) -> list[tuple[Ticket, Piece]]:
        """Wait for jobs and share one run among them; empty when the queue is closed and nothing is left in it."""
        with self._wake:
            # A stream whose reader is slow has nothing waiting, and is still to be finished.
            self._wake.wait_for(lambda: self._waiting or (self._closing and not self._open))
            tickets = list(islice(self._waiting, self.slice_size))
            for ticket in tickets:
                self._leave(ticket)
            # The smallest first, so that what they leave of their shares goes to the larger ones.
            tickets.sort(key=lambda ticket: ticket.job.waiting)
            room, pieces = self.slice_size, []
            for sharing, ticket in zip(range(len(tickets), 0, -1), tickets, strict=True):
                n = min(ticket.job.waiting, room // sharing)
                pieces.append((ticket, ticket.job.take(n)))
                room -= n
                self._enter(ticket)  # at the back: those that did not fit in this run come first
        return pieces

    def _infer(self, run: Sequence[tuple[Ticket, Piece]]) -> None:
        """Run the network once for pieces of one kind and one model, and send what it gave to the loop."""
        started, strings = perf_counter(), sum(piece.n for _, piece in run)
        new = [ticket for ticket, piece in run if piece.job.taken == piece.n]
        for ticket in new:
            ticket.queue_wait_s = started - ticket.job.submitted
        try:
            outcomes = infer([piece for _, piece in run])
        except Exception:
            logger.exception("the engine failed on a run of %d requests", len(run))
            with self._wake:
                for ticket, _ in run:
                    self._leave(ticket)  # here, so that the next run leaves them out
            self._post(self._fail, [ticket for ticket, _ in run])
            return
        seconds = perf_counter() - started
        self._rate.add(strings, seconds)
        for ticket, _ in run:
            ticket.inference_s += seconds
        if self._observer is not None:
            self._observer.observe_run(strings, seconds, [ticket.queue_wait_s for ticket in new])
        self._hand_over([(ticket, outcome) for (ticket, _), outcome in zip(run, outcomes, strict=True)])

    def _hand_over(self, results: Sequence[tuple[Ticket, Outcome]]) -> None:
        with self._wake:
            for ticket, _ in results:
                self._enter(ticket)  # a job with constraints knows only now how many more candidates it needs
        ready: list[tuple[Ticket, Outcome, bool]] = []
        for ticket, outcome in results:
            finished = ticket.job.finished
            if ticket.streams:
                ready.append((ticket, outcome, finished))
            else:
                ticket.outcome.add(outcome)
                if finished:
                    ready.append((ticket, ticket.outcome, True))
        if ready:
            self._post(self._deliver, ready)

    def _post(self, callback: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        # After a drain that ran out of time the loop is closed, and nobody waits for what is posted.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    # What the inference thread hands back to the event loop.

    def _deliver(self, results: Sequence[tuple[Ticket, Outcome, bool]]) -> None:
        for ticket, outcome, finished in results:
            if ticket.result.done():
                continue
            if ticket.streams:
                ticket.chunks.append(outcome)
                ticket.arrived.set()
            if finished:
                ticket.result.set_result(outcome)
                self._settled(ticket)

    def _fail(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            self.withdraw(ticket, EngineError("the engine failed on this request"))
