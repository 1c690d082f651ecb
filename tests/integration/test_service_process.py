"""The service as a process of its own, with a real model: start, load, signals and exit."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_process import DEADLINE_S, expected, post, process, until

from model.artifact import Artifact
from model.errors import ArtifactError, ConfigurationError
from service.server import listen, serve
from service.settings import Settings

ROUNDS = int(os.environ.get("TEST_ROUNDS", "3"))
CLIENTS = 8
STREAM = {"accept": "application/x-ndjson"}


def test_one_line_says_what_is_served_and_where(tiny_model: Path) -> None:
    with process("--model", tiny_model) as service:
        digest = Artifact.load(tiny_model).digest
        assert re.fullmatch(rf"serving tiny \({digest[:12]}…\) on http://127\.0\.0\.1:\d+", service.line)
        assert httpx.get(f"{service.url}/readyz").json()["models"] == [{"name": "tiny", "digest": digest}]
        assert service.end() == 0
        assert service.lines == [service.line]


def test_a_string_depends_on_seed_and_place_alone_whoever_asks_meanwhile(tiny_model: Path) -> None:
    sizes = {seed: (1, 2, 3, 17, 255, 256, 257, 700)[seed % 8] for seed in range(64)}
    with (
        process("--model", tiny_model, "--set", "slice=64") as service,
        httpx.Client(base_url=service.url, timeout=DEADLINE_S) as client,
    ):
        with ThreadPoolExecutor(32) as pool:
            answers = {seed: pool.submit(post, client, seed=seed, n=n) for seed, n in sizes.items()}
        for seed, n in sizes.items():
            assert answers[seed].result().json()["texts"] == expected(tiny_model, seed, n)
        assert post(client, seed=5, n=1).json()["texts"] == expected(tiny_model, 5, 1)


class Load:
    """Clients that ask the same again and again until they are told to leave, and what each was answered."""

    def __init__(self, url: str) -> None:
        self.address = url.removeprefix("http://")
        self.answers = {number: list[tuple[int, bytes]]() for number in range(CLIENTS)}

    def ask(self, number: int) -> None:
        """One client's requests: for one string, five, 400, or a stream of 10,000; half of them connect for each.

        Raises what http.client does where a request that was sent has no answer, or only a part of one.
        """
        n, keeps, leaves = (1, 5, 400, 10_000)[number % 4], number < CLIENTS / 2, False
        body = json.dumps({"n": n, "seed": number})
        headers = {"content-type": "application/json"} | (STREAM if n == 10_000 else {})
        with closing(HTTPConnection(self.address, timeout=DEADLINE_S)) as connection:
            while not leaves and (connection.sock or accepted(connection)):
                connection.request("POST", "/v1/generate", body, headers)
                answer = connection.getresponse()
                leaves = answer.getheader("connection") == "close"
                self.answers[number].append((answer.status, answer.read()))
                if not keeps:
                    connection.close()


def accepted(connection: HTTPConnection) -> bool:
    """Connect; false where that is refused, so that nothing was sent."""
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", range(ROUNDS))
def test_sigterm_under_load_loses_no_request(tiny_model: Path, number: int) -> None:
    """Whatever was sent until nobody could connect any more is answered as it was before, to the last byte."""
    with process("--model", tiny_model, "--set=drain_delay_s=0.1") as service, ThreadPoolExecutor(CLIENTS) as pool:
        load = Load(service.url)
        clients = [pool.submit(load.ask, number) for number in range(CLIENTS)]
        until(lambda: all(len(answers) >= 2 for answers in load.answers.values()))
        assert service.end() == 0
        for client in clients:
            client.result(DEADLINE_S)
        assert service.lines == [service.line]
    for answers in load.answers.values():
        assert {status for status, _ in answers} == {200}
        assert len(set(answers)) == 1


def test_who_has_connected_is_answered_though_nobody_else_can_connect(tiny_model: Path) -> None:
    """A client cannot know, when it sends its request, that the service has just closed its door."""
    request = b"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    settings = ("--set=drain_delay_s=0", "--set=header_timeout_s=3600")
    with (
        process("--model", tiny_model, *settings) as service,
        connect(service.url) as new,
        connect(service.url) as used,
    ):
        used.sendall(request)
        assert used.recv(4096).startswith(b"HTTP/1.1 200")
        service.send(signal.SIGTERM)
        until(lambda: not can_connect(service.url))
        for connection in (new, used):
            connection.sendall(request)
        for connection in (new, used):
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in answer
            assert connection.recv(4096) == b""
        assert service.wait() == 0


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def stalled(url: str) -> socket.socket:
    """A connection whose stream has begun and is not read on, so that the service cannot finish it."""
    connection = connect(url)
    body = b'{"n":10000000}'
    head = f"POST /v1/generate HTTP/1.1\r\nHost: x\r\nAccept: {STREAM['accept']}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_forces_the_end(tiny_model: Path, number: signal.Signals) -> None:
    settings = ("--set=drain_delay_s=0", "--set=drain_grace_s=3600", "--set=send_timeout_s=3600")
    with process("--model", tiny_model, *settings) as service, stalled(service.url):
        service.send(number)
        until(lambda: not can_connect(service.url))
        assert service.child.poll() is None  # it waits for the stream
        assert service.end(number) == 128 + number  # what it had accepted is lost


def test_what_does_not_end_within_the_grace_is_given_up(tiny_model: Path) -> None:
    settings = ("--set=drain_delay_s=0", "--set=drain_grace_s=1", "--set=send_timeout_s=3600")
    with process("--model", tiny_model, *settings) as service, stalled(service.url):
        assert service.end() == 0


def can_connect(url: str) -> bool:
    try:
        connect(url).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_idle_service_ends_at_an_interruption(tiny_model: Path) -> None:
    with process("--model", tiny_model) as service:
        assert service.end(signal.SIGINT) == 0
        assert service.lines == [service.line]


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
