"""The pages for people: ``/`` to play, ``/docs`` to read.  They are in ``static/``, and load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


async def playground() -> FileResponse:
    """The playground: a grid of strings whose address reproduces it."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


async def docs() -> FileResponse:
    """The description of the interface, drawn from /openapi.json."""
    return FileResponse(STATIC / "docs.html", headers=HEADERS)


def mount(app: FastAPI, front: Callable[[], Awaitable[FileResponse]] = playground) -> None:
    """Add the pages and their files to an application.  front: what / answers."""
    router = APIRouter(include_in_schema=False)
    router.get("/")(front)
    router.get("/docs")(docs)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
