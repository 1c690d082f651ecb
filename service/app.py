"""The applications: what everybody meets, and what the operator meets on a port of its own.

``create_app`` is all that another host (Ray Serve, a test) needs; ``server.serve`` runs it by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from model.artifact import Artifact
from model.engines import open_engine as engine_opener
from service.batching import Batcher
from service.errors import add_handlers
from service.folders import first_models
from service.limits import make_limiter
from service.metrics import Metrics
from service.middleware import MAX_BODY_BYTES, BodyLimit, Endpoint, Envelope, Guard, Straight
from service.openapi import describe
from service.registry import OpenEngine, Registry
from service.routes import admin, generate, health, interpolate, models, pages, score
from service.schemas import GenerateRequest, InterpolateRequest, ScoreRequest, bounded
from service.security import Gate
from service.serving import Serving
from service.settings import Settings
from service.tracing import open_tracer

ENDING_S = 5.0  # what is kept of a grace for the end itself
Models = tuple[Sequence[Artifact], str | None]


def ending_s(settings: Settings) -> float:
    """The last seconds of the grace, which the end itself has.

    A fifth for requests to say that they were given up, one for a run of the network that hangs, two for spans that
    have not been sent, and one to spare.
    """
    return min(ENDING_S, settings.drain_grace_s / 2)


class Fronted(FastAPI):
    """FastAPI with our middleware around the whole of it, where what passes by the router passes by its layers too."""

    front: ASGIApp

    def put_in_front(self, gate: Gate, settings: Settings, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        """Stand between the wire and the application.  endpoints: what answers without it, by method and path."""
        straight = Straight(super().__call__, endpoints)
        limited = BodyLimit(straight, MAX_BODY_BYTES, settings.body_timeout_s)
        self.front = Envelope(Guard(limited, gate), settings.access_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and end."""
        scope["app"] = self
        await (self.front if scope["type"] == "http" else super().__call__)(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    first: Models | None = None,
    open_engine: OpenEngine | None = None,
    gate: Gate | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    first: the models to begin with and the default one's name, read already; None: read when the application starts.
    open_engine: what makes strings of them; None: what settings.engine names.  gate: the keys; None: the settings'.
    Starting raises ArtifactError if no model can be read.  Engines open and warm up in the background, and /readyz
    tells when that is done.
    """
    gate, metrics = gate or Gate(settings), Metrics()
    tracer, limiter = open_tracer(settings), make_limiter(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        registry = Registry(settings, open_engine or engine_opener(settings.engine))
        batcher = Batcher(max_strings_queued=settings.max_strings_queued, slice_size=settings.slice, observer=metrics)
        app.state.serving = serving = Serving(settings, registry, batcher, metrics, tracer, limiter)
        metrics.follow(serving)
        tasks = [asyncio.create_task(registry.start(*(first or first_models(settings))))]
        if settings.watch_s is not None:
            tasks.append(asyncio.create_task(registry.watch(settings.watch_s)))
        yield
        # The server has waited for the requests: what may still run is a run that nobody waits for.
        await batcher.close(ending_s(settings) / 5)
        for task in tasks:
            task.cancel()
        if limiter is not None:
            await limiter.close()
        await asyncio.to_thread(tracer.close, 2 * ending_s(settings) / 5)

    app = Fronted(
        title="charwgan",
        description="New strings that look like the ones a model was trained on.",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    wanted, judged = bounded(GenerateRequest, settings), bounded(ScoreRequest, settings)
    between = bounded(InterpolateRequest, settings)
    answer = generate.endpoint(wanted)
    app.include_router(generate.router(wanted, answer))
    app.include_router(score.router(judged))
    app.include_router(interpolate.router(between))
    app.include_router(models.router)
    app.include_router(health.router)
    pages.mount(app)
    add_handlers(app)
    app.state.gate, app.state.metrics = gate, metrics
    app.put_in_front(gate, settings, {("POST", generate.PATH): answer})
    describe(app, wanted, judged, between)
    return app


def create_admin_app(settings: Settings, metrics: Metrics) -> FastAPI:
    """What the operator meets: the versions of the models, behind a key of its own.

    Whoever runs it gives it the ``state.serving`` of the application that it steers.
    """
    console = Fronted(title="charwgan admin", version="1", docs_url=None, redoc_url=None, redirect_slashes=False)
    console.include_router(admin.router)
    pages.mount(console, front=pages.docs)
    add_handlers(console)
    console.state.gate, console.state.metrics = Gate.of_admin(settings), metrics
    console.put_in_front(console.state.gate, settings, {})
    describe(console)
    return console
