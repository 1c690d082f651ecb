"""The pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Running, running

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "service" / "static"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_carries_nothing_inline_and_loads_nothing_from_elsewhere(service: Running, path: str) -> None:
    page = service.client.get(path)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|(src|href)=\"(https?:)?//", page.text)
    for address in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert service.client.get(f"/{address}").status_code == 200


def test_no_static_file_names_another_host() -> None:
    for file in STATIC.iterdir():
        hosts = set(re.findall(r"https?://[\w.]+", file.read_text(encoding="utf-8")))
        assert hosts <= {"http://www.w3.org"}, file.name  # the name of SVG's namespace
