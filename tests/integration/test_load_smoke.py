"""The smoke profile of tests/load against a real service, both as processes of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = ROOT / "tests" / "load"
PROGRAM = """
import sys
from service.server import serve
from service.settings_sources import resolve
serve(resolve({"model": sys.argv[1], "port": 0, "threads": 1}, {}))
"""


@pytest.fixture
def url(tiny_model: Path) -> Iterator[str]:
    command = [sys.executable, "-c", PROGRAM, str(tiny_model)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        address = re.search(r"http://\S+", child.stderr.readline())
        assert address is not None
        yield address.group()
        child.terminate()
        assert child.wait(30) == 0


def locust(url: str, profile: str) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--only-summary", "--stop-timeout", "5", "--load-profile", profile, "--host", url]
    command = [sys.executable, "-m", "locust", "-f", str(LOAD / "locustfile.py"), *options]
    return subprocess.run(command, cwd=LOAD, capture_output=True, text=True, timeout=60, check=False)


def test_the_smoke_profile_holds(url: str) -> None:
    ran = locust(url, "smoke")
    assert ran.returncode == 0, ran.stderr
    assert "SmallRequests" in ran.stderr
    assert "Batches" in ran.stderr


def test_a_service_that_does_not_answer_misses_the_thresholds() -> None:
    ran = locust("http://127.0.0.1:1", "brief")
    assert ran.returncode == 1
    assert "threshold missed: error share 1.0000, at most 0.0" in ran.stderr
