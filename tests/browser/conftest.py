"""A tab of a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import BINARY, Page, page


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Page]:
    if BINARY is None:
        pytest.skip("needs chromium")
    with page(tmp_path / "profile") as opened:
        yield opened
