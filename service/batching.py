"""One queue bounded in strings, and one thread that runs the network on whatever is queued when it is free.

There is no timer: waiting for company only costs time.  Each run takes a fair share of every request that waits,
so that a large one never holds up a small one, and a request's strings are the same whoever shares its runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol, TypeVarTuple, Unpack

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger("charwgan.service")

LONGEST_RETRY_S = 600

Ts = TypeVarTuple("Ts")


class Engine(Protocol):
    """What turns seeds into strings: ``model.sampler.Sampler``."""

    def warm_up(self) -> None:
        """Run once, so that the first request is not the slow one."""

    def latents(self, seed: int, first: int, n: int) -> NDArray[np.float32]:
        """Latents of strings first .. first + n - 1 of a seed, (n, Z)."""

    def texts(self, latents: NDArray[np.float32]) -> list[str]:
        """The string of each latent (N, Z)."""


class QueueFullError(Exception):
    """The queue has no room for a request now; it should have after retry_after_s seconds."""

    def __init__(self, queued: int, bound: int, wanted: int, retry_after_s: int) -> None:
        super().__init__(f"{queued} strings wait already, at most {bound} may, {wanted} were asked for")
        self.retry_after_s = retry_after_s


class NotReadyError(Exception):
    """The engine is warming up, could not be opened, or is closed."""


class EngineError(Exception):
    """The engine raised an error in a run that held some of the request's strings."""


@dataclass(eq=False)
class Job:
    """One request: strings 0 .. n - 1 of a seed, of which those from the first-th on still wait.

    first belongs to the queue and its lock; texts and result belong to the event loop.
    """

    seed: int
    n: int
    result: asyncio.Future[list[str]]
    first: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Strings that no run has taken yet."""
        return self.n - self.first


@dataclass(frozen=True)
class Piece:
    """The part of a job that one run of the network takes: n strings from the first-th on."""

    job: Job
    first: int
    n: int


class Batcher:
    """Collects requests on one event loop, and answers them from one inference thread.

    open_engine: called on that thread, so that a slow start keeps nobody from asking for readiness.
    max_strings_queued: bound of the queue.  slice_size: strings in one run of the network, at most.
    """

    def __init__(self, open_engine: Callable[[], Engine], *, max_strings_queued: int, slice_size: int) -> None:
        self.max_strings_queued = max_strings_queued
        self.slice_size = slice_size
        self.queued = 0  # strings that wait: accepted, and not yet in a run
        self._open_engine = open_engine
        self._jobs: OrderedDict[Job, None] = OrderedDict()
        self._wake = threading.Condition()
        self._closing = False
        self._rate = Rate()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self.warm: asyncio.Future[None] = self._loop.create_future()
        # A daemon, so that an engine that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the engine is warm and takes requests."""
        return self.warm.done() and not self.failed and not self._closing

    @property
    def failed(self) -> bool:
        """Whether the engine could not be opened."""
        return self.warm.done() and (self.warm.cancelled() or self.warm.exception() is not None)

    @property
    def strings_per_s(self) -> float | None:
        """The engine's rate in its latest runs; None before the first."""
        return self._rate.per_s

    def submit(self, seed: int, n: int) -> Job:
        """Queue strings 0 .. n - 1 of a seed; the job's result is their list.

        Raises QueueFullError if they do not fit in the queue, NotReadyError if the engine takes no requests.
        """
        if not self.ready:
            raise NotReadyError("the model could not be opened" if self.failed else "the model is not ready")
        with self._wake:
            if self.queued + n > self.max_strings_queued:
                raise QueueFullError(self.queued, self.max_strings_queued, n, self._seconds_until_room(n))
            job = Job(seed, n, self._loop.create_future())
            self._jobs[job] = None
            self.queued += n
            self._wake.notify()
        return job

    def withdraw(self, job: Job, reason: Exception | None = None) -> None:
        """Take a job out of the queue; its result, if still open, becomes the reason or is cancelled."""
        self._remove(job)
        if reason is not None and not job.result.done():
            job.result.set_exception(reason)
        job.result.cancel()

    async def close(self, grace_s: float) -> None:
        """Take no further requests, answer those that wait, and end the thread; give up after grace_s seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        try:
            await asyncio.wait_for(self._ended.wait(), grace_s)
        except TimeoutError:
            logger.error("the engine did not end within %g s", grace_s)

    def _remove(self, job: Job) -> None:
        with self._wake:
            if job in self._jobs:
                del self._jobs[job]
                self.queued -= job.waiting

    def _seconds_until_room(self, n: int) -> int:
        excess = self.queued + n - self.max_strings_queued
        seconds = excess / self._rate.per_s if self._rate.per_s else 1.0
        return min(max(1, math.ceil(seconds)), LONGEST_RETRY_S)

    # The inference thread, and what it hands back to the event loop.

    def _run(self) -> None:
        try:
            engine = self._open_engine()
            engine.warm_up()
        except Exception as error:
            self._post(self._settle, error)
        else:
            self._post(self._settle, None)
            while pieces := self._take():
                self._infer(engine, pieces)
        self._post(self._ended.set)

    def _take(self) -> list[Piece]:
        """Wait for requests and share one run of the network among them; empty when the queue is closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._jobs or self._closing)
            jobs = [self._jobs.popitem(last=False)[0] for _ in range(min(len(self._jobs), self.slice_size))]
            # The smallest first, so that what they leave of their shares goes to the larger ones.
            jobs.sort(key=lambda job: job.waiting)
            room, pieces = self.slice_size, []
            for sharing, job in zip(range(len(jobs), 0, -1), jobs, strict=True):
                n = min(job.waiting, room // sharing)
                pieces.append(Piece(job, job.first, n))
                room -= n
                job.first += n
                if job.waiting:
                    self._jobs[job] = None  # to the back: those that did not fit in this run come first
            self.queued -= self.slice_size - room
        return pieces

    def _infer(self, engine: Engine, pieces: Sequence[Piece]) -> None:
        started = perf_counter()
        try:
            latents = np.concatenate([engine.latents(piece.job.seed, piece.first, piece.n) for piece in pieces])
            texts = engine.texts(latents)
            if len(texts) != len(latents):
                raise RuntimeError(f"the engine made {len(texts)} strings of {len(latents)} latents")
        except Exception:
            logger.exception("the engine failed on a batch of %d requests", len(pieces))
            for piece in pieces:
                self._remove(piece.job)  # here, so that the next run leaves them out
            self._post(self._fail, pieces)
        else:
            self._rate.add(len(texts), perf_counter() - started)
            self._post(self._deliver, pieces, texts)

    def _post(self, callback: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        # After a drain that ran out of time the loop is closed, and nobody waits for what is posted.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _settle(self, error: Exception | None) -> None:
        if error is None:
            self.warm.set_result(None)
        else:
            logger.error("the model could not be opened: %s", error)
            self.warm.set_exception(error)

    def _deliver(self, pieces: Sequence[Piece], texts: list[str]) -> None:
        start = 0
        for piece in pieces:
            job, end = piece.job, start + piece.n
            job.texts += texts[start:end]
            start = end
            if len(job.texts) == job.n and not job.result.done():
                job.result.set_result(job.texts)

    def _fail(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self.withdraw(piece.job, EngineError("the engine failed on this request"))


class Rate:
    """Strings per second of the engine while it runs, the latest runs weighing most."""

    KEEP = 0.9  # the weight of a run is 0.9 times that of the next one

    def __init__(self) -> None:
        self.per_s: float | None = None
        self._strings = 0.0
        self._seconds = 0.0

    def add(self, strings: int, seconds: float) -> None:
        """Count one run."""
        self._strings = self.KEEP * self._strings + strings
        self._seconds = self.KEEP * self._seconds + seconds
        self.per_s = self._strings / max(self._seconds, 1e-9)
