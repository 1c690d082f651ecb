"""One queue bounded in strings, and two threads that run the network on whatever is queued when they are free.

A small request that is alone is spared the way to another thread and back, which takes as long as its run.
There is no timer: waiting for company only costs time.  Each run takes a fair share of every request that waits, so
that a large one never holds up a small one, and a request's strings are the same whoever shares its runs.  While the
answers of one run are written and the next requests read, the other run keeps the processors busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from time import perf_counter
from typing import TypeVarTuple, Unpack

from service.alarm import Alarm
from service.inference import Rate, RunObserver, infer
from service.jobs import Generation, Job, Outcome, Piece, Scoring
from service.logs import get_logger
from service.ticket import DeadlineError, EngineError, NotReadyError, QueueFullError, Ticket
from service.version import Version

logger = get_logger()

LONGEST_RETRY_S = 600
RUNNERS = 2  # threads that run the network; a request is in one run at a time
QUICK_S = 0.002  # a run that is expected to be no longer may hold the event loop up

Ts = TypeVarTuple("Ts")


class Batcher:
    """Collects jobs on one event loop, and works on them in inference threads.

    max_strings_queued: bound of the queue.  slice_size: strings in one run of the network, at most.
    """

    def __init__(
        self,
        *,
        max_strings_queued: int,
        slice_size: int,
        observer: RunObserver | None = None,
        runners: int = RUNNERS,
    ) -> None:
        self.max_strings_queued = max_strings_queued
        self.slice_size = slice_size
        self.queued = 0  # strings that wait: accepted, and not yet in a run
        self._observer = observer
        self._turns: OrderedDict[Ticket, None] = OrderedDict()  # those that the next run may take strings of
        self._wake = threading.Condition()
        self._closing = False
        self._running = 0  # runs that threads are at
        self._rate = Rate()
        self._loop = asyncio.get_running_loop()
        self._open: set[Ticket] = set()
        self._ended = asyncio.Event()
        self._runners = runners
        self._alarm = Alarm(self._loop, self._drop_late)
        for _ in range(runners):
            # Daemons, so that an engine that hangs cannot keep the process from ending.
            threading.Thread(target=self._run, name="inference", daemon=True).start()

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
            if self._is_alone(ticket) and job.plain and job.waiting <= QUICK_S * (self._rate.per_s or 0):
                self._loop.call_soon(self._run_here, ticket)
            else:
                self._wake.notify()
        self._open.add(ticket)
        self._alarm.expect(job.deadline)
        return ticket

    def withdraw(self, ticket: Ticket, reason: Exception | None = None) -> None:
        """Take a job out of the queue; its result, if still open, becomes the reason or is cancelled."""
        if ticket.result.done():
            return
        # First, since the inference threads put nothing back whose result is known.
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
        """Take no further jobs, answer those that are open, and end the threads; give up after grace_s seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        try:
            await asyncio.wait_for(self._ended.wait(), grace_s)
        except TimeoutError:
            logger.error("the engine did not end in time", grace_s=grace_s, given_up=self.give_up())
        self._alarm.cancel()

    def give_up(self) -> int:
        """Take no further jobs, and let those that are open fail with NotReadyError; returns how many."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        given_up = list(self._open)
        for ticket in given_up:
            self.withdraw(ticket, NotReadyError("the service is ending"))
        return len(given_up)

    # The queue, whose entries change under the lock.

    def _enter(self, ticket: Ticket) -> None:
        """Count what of a job waits, and let it have its turn if it has no run."""
        waiting = 0 if ticket.result.done() else ticket.job.waiting
        self.queued += waiting - ticket.queued
        ticket.queued = waiting
        if waiting and not ticket.running:
            self._turns[ticket] = None
        else:
            self._turns.pop(ticket, None)

    def _settled(self, ticket: Ticket) -> None:
        """The result of a job is known, so that nothing of it need wait any more."""
        self._open.discard(ticket)
        with self._wake:
            self._enter(ticket)
            self._wake.notify_all()

    def _until_room(self, n: int) -> int:
        excess = self.queued + n - self.max_strings_queued
        seconds = excess / self._rate.per_s if self._rate.per_s else 1.0
        return min(max(1, math.ceil(seconds)), LONGEST_RETRY_S)

    def _drop_late(self) -> float:
        now = perf_counter()
        for ticket in [ticket for ticket in self._open if ticket.job.deadline <= now]:
            seconds = ticket.job.deadline - ticket.job.submitted
            self.withdraw(ticket, DeadlineError(f"the answer was not made within {seconds:.3g} s"))
        return min((ticket.job.deadline for ticket in self._open), default=math.inf)

    # The runs, by the inference threads or on the event loop.

    def _is_alone(self, ticket: Ticket) -> bool:
        return not self._running and len(self._turns) == 1 and ticket in self._turns

    def _run_here(self, ticket: Ticket) -> None:
        with self._wake:
            if not self._is_alone(ticket):  # any more
                self._wake.notify()
                return
            pieces = self._take()
        self._infer_all(pieces)

    def _run(self) -> None:
        while pieces := self._await():
            self._infer_all(pieces)
            with self._wake:
                self._running -= 1
        with self._wake:
            self._runners -= 1
            last = not self._runners
        if last:
            self._post(self._ended.set)

    def _await(self) -> list[tuple[Ticket, Piece]]:
        """Wait for jobs and share one run among them; empty when the queue is closed and nothing is left in it."""
        with self._wake:
            # A stream whose reader is slow has nothing waiting, and is still to be finished.
            self._wake.wait_for(lambda: self._turns or (self._closing and not self._open))
            self._running += 1
            return self._take()

    def _take(self) -> list[tuple[Ticket, Piece]]:
        """Share one run among the jobs that wait."""
        # The smallest first, so that what they leave of their shares goes to the larger ones.
        tickets = sorted(islice(self._turns, self.slice_size), key=lambda ticket: ticket.job.waiting)
        room, pieces = self.slice_size, []
        for sharing, ticket in zip(range(len(tickets), 0, -1), tickets, strict=True):
            n = min(ticket.job.waiting, ticket.job.at_once, room // sharing)
            pieces.append((ticket, ticket.job.take(n)))
            room -= n
            ticket.running = True
            self._enter(ticket)
        return pieces

    def _infer_all(self, pieces: Sequence[tuple[Ticket, Piece]]) -> None:
        """Run the network for pieces of any kind and model."""
        runs: dict[tuple[Version, bool], list[tuple[Ticket, Piece]]] = {}
        for ticket, piece in pieces:
            runs.setdefault((piece.job.version, isinstance(piece.job, Scoring)), []).append((ticket, piece))
        for run in runs.values():
            self._infer(run)

    def _infer(self, run: Sequence[tuple[Ticket, Piece]]) -> None:
        """Run the network once for pieces of one kind and one model, and send what it gave to the loop."""
        started, strings = perf_counter(), sum(piece.n for _, piece in run)
        new = [ticket for ticket, piece in run if piece.job.taken == piece.n]
        for ticket in new:
            ticket.queue_wait_s = started - ticket.job.submitted
        try:
            outcomes = infer([piece for _, piece in run])
        except Exception as error:
            outcomes = [error] * len(run)
        ended = perf_counter()
        seconds = ended - started
        with self._wake:
            self._rate.add(strings, started, ended)
        for ticket, _ in run:
            ticket.inference_s += seconds
        if self._observer is not None:
            self._observer.observe_run(strings, seconds, [ticket.queue_wait_s for ticket in new])
        whole: list[tuple[Ticket, Outcome]] = []
        failed: dict[Ticket, Exception] = {}
        for (ticket, _), outcome in zip(run, outcomes, strict=True):
            if isinstance(outcome, Exception):
                failed[ticket] = outcome
            else:
                whole.append((ticket, outcome))
        if failed:
            logger.error("the engine failed", requests=len(failed), exc_info=next(iter(failed.values())))
            self._post(self._fail, list(failed))  # which stay out of further runs
        self._hand_over(whole)

    def _hand_over(self, results: Sequence[tuple[Ticket, Outcome]]) -> None:
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
        with self._wake:  # after that, so that what the next runs give of a job is posted later than this
            for ticket, _ in results:
                ticket.running = False
                self._enter(ticket)  # at the back: those that did not fit in a run come first
            if self._turns:
                self._wake.notify()

    def _post(self, callback: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        # After a drain that ran out of time the loop is closed, and nobody waits for what is posted.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    # What the inference threads hand back to the event loop.

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
