"""What the routes work with: the models, the queue in front of them, and whether requests are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope

from service.batching import Batcher
from service.connection import CONNECTION
from service.errors import ClientGoneError
from service.jobs import Job, Outcome
from service.limits import RateLimit, who
from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings
from service.ticket import NotReadyError, QueueFullError, Ticket
from service.tracing import Tracer

OPENING_FAILED = "the model could not be opened: the service's log says why"


@dataclass
class Serving:
    """The state of one application.  Made on the event loop, by its lifespan."""

    settings: Settings
    registry: Registry
    batcher: Batcher
    metrics: Metrics
    tracer: Tracer
    limiter: RateLimit | None = None
    draining: bool = False  # a signal asked the process to end: no longer ready, and still answering

    def why_not_ready(self) -> str | None:
        """One line on why no requests should be sent here; None if they may."""
        if self.draining:
            return "the service is ending: send requests elsewhere"
        return self.why_not_started()

    def why_not_started(self) -> str | None:
        """One line on why the first models do not answer; None if they do, and from then on.

        A version that cannot be loaded later changes nothing: the one before it goes on.
        """
        if self.registry.failure is not None:
            return OPENING_FAILED
        return None if self.registry.ready else "the model is warming up: try again soon"

    async def admit(self, request: Request, n: int) -> None:
        """Let whoever asks pay for n strings, until it is known how many were tried.  Raises RateLimitedError."""
        if self.limiter is not None:
            scope = request.scope
            charge = await self.limiter.take(who(scope.get("charwgan.key"), scope.get("client")), n)
            scope["charwgan.charge"] = charge
            _tell(scope, charge.headers)

    async def submit(self, job: Job, request: Request) -> Ticket:
        """Queue a job.  One that finds no place costs whoever asked nothing.

        Raises QueueFullError or NotReadyError.
        """
        try:
            return self.batcher.submit(job)
        except (QueueFullError, NotReadyError):
            await self._settle(request, 0)
            raise

    async def answer(self, job: Job, request: Request) -> Outcome:
        """What a job gives.

        request: its body is read; when its client goes, the job leaves the queue.
        Raises QueueFullError, NotReadyError, EngineError, DeadlineError or ClientGoneError.
        """
        ticket = await self.submit(job, request)
        forget = self._when_gone(ticket, request)
        try:
            return await ticket.result
        finally:
            forget()
            await self.end(ticket, request)

    async def stream(self, ticket: Ticket, request: Request) -> AsyncIterator[Outcome]:
        """What a submitted stream gives, as it comes; to be followed by ``end``.  Raises as ``answer`` does."""
        forget = self._when_gone(ticket, request)
        try:
            async for outcome in self.batcher.stream(ticket):
                yield outcome
        finally:
            forget()

    async def end(self, ticket: Ticket, request: Request) -> None:
        """Take a job out of the queue however it ended; whoever asked pays for what the network was run on."""
        self.batcher.withdraw(ticket)
        if self.tracer.enabled:
            facts = {"queue_wait_s": ticket.queue_wait_s, "inference_s": ticket.inference_s}
            request.scope["charwgan.span"].set(strings=ticket.job.taken, **facts)
        await self._settle(request, ticket.job.taken)

    async def _settle(self, request: Request, n: int) -> None:
        if self.limiter is not None:
            _tell(request.scope, await self.limiter.settle(request.scope["charwgan.charge"], n))

    def _when_gone(self, ticket: Ticket, request: Request) -> Callable[[], object]:
        """Withdraw a job when its client goes; returns what ends that."""

        def withdraw() -> None:
            self.batcher.withdraw(ticket, ClientGoneError())

        connection = request.scope.get("extensions", {}).get(CONNECTION)  # which needs no task that waits
        if connection is not None:
            forget: Callable[[], object] = connection.on_lost(withdraw)
            return forget
        return asyncio.create_task(_watch(request, withdraw)).cancel


def _tell(scope: Scope, headers: Mapping[str, str]) -> None:
    """Let the answer to a request carry these headers."""
    scope["charwgan.headers"] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def _watch(request: Request, withdraw: Callable[[], None]) -> None:
    """Under another server than ours: wait for the message that the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    withdraw()


def serving_of(request: Request) -> Serving:
    """What the application of a request serves."""
    serving = request.app.state.serving
    assert isinstance(serving, Serving)
    return serving
