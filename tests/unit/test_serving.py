"""Whether an application has started and takes requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine, fake_artifact

from service.registry import Registry
from service.serving import Serving
from service.settings import Settings


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.warm.set()


def reasons(serving: Serving) -> tuple[str | None, str | None]:
    return serving.why_not_started(), serving.why_not_ready()


def serving_with(engine: FakeEngine) -> Serving:
    none: Any = None
    registry = Registry(Settings(model=Path("names")), lambda artifact, threads: engine)
    return Serving(registry.settings, registry, none, none, none)


def test_a_service_starts_once_and_is_ready_until_it_ends(engine: FakeEngine) -> None:
    async def main() -> None:
        serving = serving_with(engine)
        assert reasons(serving) == ("the model is warming up: try again soon",) * 2
        await serving.registry.start([fake_artifact()], "names")
        assert reasons(serving) == (None, None)
        serving.draining = True
        assert reasons(serving) == (None, "the service is ending: send requests elsewhere")

    asyncio.run(main())


def test_a_model_that_cannot_be_opened_is_not_said_to_warm_up(engine: FakeEngine) -> None:
    async def main() -> None:
        serving = serving_with(engine)
        engine.broken = RuntimeError("no network in it")
        await serving.registry.start([fake_artifact()], "names")
        assert reasons(serving) == ("the model could not be opened: the service's log says why",) * 2

    asyncio.run(main())
