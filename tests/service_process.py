"""The service as a process of its own, and what it says on standard error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from model.artifact import Artifact
from model.sampler import Sampler

ROOT = Path(__file__).parents[1]
DEADLINE_S = 20


class Process:
    """A service that was started by its command, and has said that it serves."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child, self.lines = child, list[str]()
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        serving = self.said(r".*\bserving\b.*(http://[\w.:]+).*")
        self.line, self.url = serving[0], serving[1]

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def said(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until so many lines match, and return the last of them."""
        found: list[re.Match[str]] = []

        def enough() -> bool:
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return len(found) >= times

        with self._said:
            assert self._said.wait_for(enough, DEADLINE_S), self.lines
        return found[times - 1]

    @property
    def admin_url(self) -> str:
        return self.said(r"admin on (http://\S+)")[1]

    def send(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code once everything that was said is read."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        code = self.child.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code


@contextmanager
def process(*arguments: str | Path, **environment: str) -> Iterator[Process]:
    """``charwgan serve`` on a free port, where every warning of Python is an error."""
    command = [sys.executable, "-W", "error", "-m", "charwgan", "serve", "--port=0", "--threads=1"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("CHARWGAN_")}
    with subprocess.Popen(
        [*command, *map(str, arguments)], cwd=ROOT, env={**own, **environment}, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            yield Process(child)
        finally:
            child.kill()


def expected(model: Path, seed: int, n: int) -> list[str]:
    """What the sampler itself makes."""
    sampler = Sampler(Artifact.load(model), threads=1)
    return sampler.texts(sampler.latents(seed, 0, n))


def post(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/generate", json=body)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
