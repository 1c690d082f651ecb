"""The service as a process of its own, with a real model: start, load, signals and exit."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.artifact import Artifact
from model.errors import ArtifactError, ConfigurationError
from model.sampler import Sampler
from service.server import is_loopback, listen, serve
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30
PROGRAM = """
import json, sys
from service.server import serve
from service.settings import resolve
serve(resolve(json.loads(sys.argv[1]), {}))
"""


class Process:
    """A service that said it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.process, self.warnings = process, list[str]()
        while (line := process.stderr.readline().rstrip()).startswith("warning: "):
            self.warnings.append(line)
        address = re.search(r"http://\S+", line)
        assert address is not None, line
        self.line, self.url = line, address.group()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def process(model: Path, **settings: object) -> Iterator[Process]:
    text = Settings(model=model, port=0, **settings).model_dump_json()  # type: ignore[arg-type]
    command = [sys.executable, "-W", "error", "-c", PROGRAM, text]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield Process(child)
            assert child.stderr is not None
            assert child.stderr.read() == ""  # neither an error nor a warning
        finally:
            child.kill()


def expected(model: Path, seed: int, n: int) -> list[str]:
    sampler = Sampler(Artifact.load(model), threads=1)
    return sampler.texts(sampler.latents(seed, 0, n))


def post(client: httpx.Client, **body: int) -> httpx.Response:
    return client.post("/v1/generate", json=body)


def test_one_line_says_what_is_served_and_where(tiny_model: Path) -> None:
    with process(tiny_model, threads=1) as service:
        digest = Artifact.load(tiny_model).digest
        assert re.fullmatch(rf"serving tiny \({digest[:12]}…\) on http://127\.0\.0\.1:\d+", service.line)
        assert httpx.get(f"{service.url}/readyz").json()["model"] == {"name": "tiny", "digest": digest}
        assert service.end(signal.SIGINT) == 0


def test_a_string_depends_on_seed_and_place_alone_whoever_asks_meanwhile(tiny_model: Path) -> None:
    sizes = {seed: (1, 2, 3, 17, 255, 256, 257, 700)[seed % 8] for seed in range(64)}
    with process(tiny_model, threads=1, slice=64) as service, httpx.Client(base_url=service.url) as client:
        with ThreadPoolExecutor(32) as pool:
            answers = {seed: pool.submit(post, client, seed=seed, n=n) for seed, n in sizes.items()}
        for seed, n in sizes.items():
            assert answers[seed].result().json()["texts"] == expected(tiny_model, seed, n)
        assert post(client, seed=5, n=1).json()["texts"] == expected(tiny_model, 5, 1)
        assert service.end(signal.SIGTERM) == 0


def test_sigterm_under_load_loses_no_request(tiny_model: Path) -> None:
    """The clients stop, as a load balancer does, when /readyz says so; whatever they sent until then is answered."""
    not_ready = threading.Event()
    answers: list[int] = []

    def work(seed: int) -> None:
        with httpx.Client(base_url=service.url, timeout=DEADLINE_S) as client:
            while not not_ready.is_set():
                answer = post(client, seed=seed, n=(1, 5, 400)[seed % 3])
                answers.append(answer.status_code)

    def watch() -> None:
        with httpx.Client(base_url=service.url, timeout=DEADLINE_S) as client:
            while client.get("/readyz").status_code == 200:
                time.sleep(0.01)
        not_ready.set()

    with process(tiny_model, threads=1, drain_delay_s=1.0) as service, ThreadPoolExecutor(9) as pool:
        workers = [pool.submit(work, seed) for seed in range(8)]
        watcher = pool.submit(watch)
        deadline = time.monotonic() + DEADLINE_S
        while len(answers) < 100:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert service.end(signal.SIGTERM) == 0
        for ended in [watcher, *workers]:
            ended.result(DEADLINE_S)
    assert set(answers) == {200}


def test_a_port_in_use_is_one_clear_line(tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} of 127.0.0.1: another program uses it"):
            serve(Settings(model=tiny_model, port=port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_cannot_be_listened_on(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on port 0 of {host}"):
        listen(host, 0)


def test_a_missing_or_damaged_model_is_told_before_anything_is_bound(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        serve(Settings(model=tmp_path / "none"))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in tiny_model.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "generator.onnx").write_bytes(b"")
    with pytest.raises(ArtifactError, match="generator"):
        serve(Settings(model=damaged))


def test_a_model_that_does_not_open_ends_the_service_with_its_error(tiny_model: Path) -> None:
    def broken(artifact: Artifact, threads: int | None) -> Any:
        raise ArtifactError(f"{artifact.name} does not open")

    with pytest.raises(ArtifactError, match="tiny does not open"):
        serve(Settings(model=tiny_model, port=0), open_engine=broken)


def test_loopback_is_told_from_other_addresses() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"))


def test_a_host_that_others_reach_is_warned_of(tiny_model: Path) -> None:
    with process(tiny_model, threads=1, host="0.0.0.0") as service:
        (warning,) = service.warnings
        assert "0.0.0.0 can be reached from other machines" in warning
        assert service.end(signal.SIGTERM) == 0
