"""The wire, and that nothing is logged where no test expects it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from wire_service import Service, running


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as service:
        yield service


@pytest.fixture
def logs() -> None:
    """The test expects something in the log."""


@pytest.fixture(autouse=True)
def _nothing_is_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.WARNING)
    yield
    if "logs" not in request.fixturenames:
        assert [record.getMessage() for record in caplog.get_records("call")] == []
