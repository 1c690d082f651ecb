"""What the routes work with: the models, the queue in front of them, and whether requests are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.requests import Request

from service.batching import Batcher, NotReadyError, QueueFullError, Ticket
from service.connection import CONNECTION
from service.errors import ClientGoneError
from service.jobs import Job, Outcome
from service.limits import RateLimit, who
from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings
from service.tracing import Tracer


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
        if self.registry.failure is not None:
            return "the model could not be opened: the service's log says why"
        return None if self.registry.ready else "the model is warming up: try again soon"

    async def admit(self, request: Request, n: int) -> None:
        """Let whoever asks pay for n strings.  Raises RateLimitedError or BeyondRateError."""
        if self.limiter is not None:
            scope = request.scope
            charge = await self.limiter.take(who(scope.get("charwgan.key"), scope.get("client")), n)
            scope["charwgan.charge"] = charge
            headers = charge.headers.items()
            scope["charwgan.headers"] = [(name.lower().encode(), value.encode()) for name, value in headers]

    async def submit(self, job: Job, request: Request) -> Ticket:
        """Queue a job.  One that finds no place costs whoever asked nothing.

        Raises QueueFullError or NotReadyError.
        """
        try:
            return self.batcher.submit(job)
        except (QueueFullError, NotReadyError):
            if self.limiter is not None:
                await self.limiter.give_back(request.scope["charwgan.charge"])
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
            self._ended(ticket, request)

    async def stream(self, ticket: Ticket, request: Request) -> AsyncIterator[Outcome]:
        """What a submitted stream gives, as it comes.  Raises as ``answer`` does."""
        forget = self._when_gone(ticket, request)
        try:
            async for outcome in self.batcher.stream(ticket):
                yield outcome
        finally:
            forget()
            self._ended(ticket, request)

    def _ended(self, ticket: Ticket, request: Request) -> None:
        self.batcher.withdraw(ticket)
        if self.tracer.enabled:
            facts = {"queue_wait_s": ticket.queue_wait_s, "inference_s": ticket.inference_s}
            request.scope["charwgan.span"].set(strings=ticket.job.taken, **facts)

    def _when_gone(self, ticket: Ticket, request: Request) -> Callable[[], object]:
        """Withdraw a job when its client goes; returns what ends that."""

        def withdraw() -> None:
            self.batcher.withdraw(ticket, ClientGoneError())

        connection = request.scope.get("extensions", {}).get(CONNECTION)  # which needs no task that waits
        if connection is not None:
            forget: Callable[[], object] = connection.on_lost(withdraw)
            return forget
        return asyncio.create_task(_watch(request, withdraw)).cancel


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
