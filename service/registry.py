"""What is served: a model, the queue in front of it, and whether it takes requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Receive

from model.artifact import Artifact
from service.batching import Batcher, Engine, Job
from service.settings import Settings

OpenEngine = Callable[[Artifact, int | None], Engine]


class ClientGoneError(Exception):
    """The client closed its connection before it had its answer."""


@dataclass
class Serving:
    """One model behind its queue.  Made on the event loop, by the lifespan of the application."""

    settings: Settings
    artifact: Artifact
    batcher: Batcher
    draining: bool = False  # a signal asked the process to end: no longer ready, and still answering

    @classmethod
    def start(cls, settings: Settings, artifact: Artifact, open_engine: OpenEngine) -> Serving:
        """Open the engine on its thread; ``batcher.warm`` is done when it takes requests, or could not be opened."""
        batcher = Batcher(
            lambda: open_engine(artifact, settings.threads),
            max_strings_queued=settings.max_strings_queued,
            slice_size=settings.slice,
        )
        return cls(settings, artifact, batcher)

    @property
    def identity(self) -> dict[str, str]:
        """Name and digest of the model, as every response has them."""
        return {"name": self.artifact.name, "digest": self.artifact.digest}

    def why_not_ready(self) -> str | None:
        """One line on why no requests should be sent here; None if they may."""
        if self.draining:
            return "the service is ending: send requests elsewhere"
        if self.batcher.failed:
            return "the model could not be opened: the service's log says why"
        return None if self.batcher.ready else "the model is warming up: try again soon"

    async def generate(self, seed: int, n: int, receive: Receive) -> list[str]:
        """Strings 0 .. n - 1 of a seed.

        receive: the request's, its body read; when it tells that the client has gone, the request leaves the queue.
        Raises QueueFullError, NotReadyError, EngineError or ClientGoneError.
        """
        job = self.batcher.submit(seed, n)
        watcher = asyncio.create_task(self._withdraw_when_gone(job, receive))
        try:
            return await job.result
        finally:
            watcher.cancel()
            self.batcher.withdraw(job)

    async def _withdraw_when_gone(self, job: Job, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.batcher.withdraw(job, ClientGoneError())


def serving_of(request: Request) -> Serving:
    """What the application of a request serves."""
    serving = request.app.state.serving
    assert isinstance(serving, Serving)
    return serving
