"""The application: routes, limits and errors around one model.

``create_app`` is all that another host (Ray Serve, a test) needs; ``server.serve`` runs it by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from model.artifact import Artifact
from model.sampler import Sampler
from service.errors import add_handlers
from service.middleware import MAX_BODY_BYTES, BodyLimit, CloseWhileDraining
from service.openapi import describe
from service.registry import OpenEngine, Serving
from service.routes import generate, health, pages
from service.schemas import generate_request
from service.settings import Settings


def create_app(settings: Settings, *, artifact: Artifact | None = None, open_engine: OpenEngine = Sampler) -> FastAPI:
    """The service of one model as an ASGI application.

    artifact: the model, read already; None: read from settings.model when the application starts.
    open_engine: what makes strings of it.
    Starting raises ArtifactError if the model cannot be read.  The engine opens and warms up in the background,
    and /readyz tells when that is done.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.serving = serving = Serving.start(settings, artifact or Artifact.load(settings.model), open_engine)
        yield
        await serving.batcher.close(settings.drain_grace_s)

    schema = generate_request(settings.max_n)
    app = FastAPI(
        title="charwgan",
        description="New strings that look like the ones a model was trained on.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(generate.router(schema))
    app.include_router(health.router)
    pages.mount(app)
    add_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, timeout_s=settings.body_timeout_s)
    app.add_middleware(CloseWhileDraining)
    describe(app, schema)
    return app
