"""A registry on an event loop of its own, which a test plays with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from model.artifact import Artifact
from model.sampler import Sampler
from service.folders import first_models
from service.registry import OpenEngine, Registry
from service.settings import Settings


def sampler(artifact: Artifact, threads: int | None) -> Sampler:
    """The engine of most tests, on one thread."""
    return Sampler(artifact, 1)


def play(
    scenario: Callable[[Registry], Awaitable[None]], settings: Settings, open_engine: OpenEngine = sampler
) -> None:
    """Start a registry and let the scenario run."""

    async def main() -> None:
        registry = Registry(settings, open_engine)
        await registry.start(*first_models(settings))
        await scenario(registry)

    asyncio.run(main())


def digest(path: Path) -> str:
    """Of the model in a folder."""
    return Artifact.load(path).digest
