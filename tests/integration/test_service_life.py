"""Starting, draining and ending, behind a real server."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import httpx
import pytest
from fake_engine import DEADLINE_S, FakeEngine
from running import assert_problem, running, until

from service.app import ending_s
from service.batching import Batcher


def test_readiness_waits_for_the_model_and_liveness_does_not() -> None:
    engine = FakeEngine()
    engine.warm.clear()
    with running(engine) as service:
        assert service.client.get("/livez").json()["status"] == "alive"
        assert_problem(service.client.get("/readyz"), 503, "not-ready")
        refused = service.post()
        assert_problem(refused, 503, "not-ready")
        assert refused.headers["retry-after"] == "1"
        engine.warm.set()
        until(lambda: service.client.get("/readyz").status_code == 200)
        assert service.post().status_code == 200


def test_a_draining_service_is_not_ready_and_still_answers() -> None:
    with running() as service:
        service.app.state.serving.draining = True
        assert_problem(service.client.get("/readyz"), 503, "not-ready")
        assert service.client.get("/livez").status_code == 200
        answer = service.post(n=2, seed=1)
        assert answer.json()["texts"] == ["1:0", "1:1"]
        assert answer.headers["connection"] == "close"


def test_a_signal_turns_readiness_off_before_connections_are_refused() -> None:
    with running() as service:
        service.server.settings = service.settings.model_copy(update={"drain_delay_s": 3600.0})
        service.on_loop(service.server.handle_exit, signal.SIGTERM, None)
        until(lambda: service.client.get("/readyz").status_code == 503)
        assert service.post().status_code == 200
        service.on_loop(service.server.handle_exit, signal.SIGTERM, None)  # the second one is impatient
        service.thread.join(DEADLINE_S)
        with pytest.raises(httpx.ConnectError):
            service.post()


def test_what_was_accepted_is_answered_after_connections_are_refused() -> None:
    engine = FakeEngine()
    engine.gated = True
    with running(engine, slice=8) as service, ThreadPoolExecutor() as pool:
        accepted = pool.submit(service.post, n=100, seed=1)
        assert engine.entered.acquire(timeout=DEADLINE_S)
        service.on_loop(service.server.handle_exit, signal.SIGTERM, None)
        until(lambda: not can_connect(service.port))
        engine.open()
        assert accepted.result().json()["texts"] == [f"1:{i}" for i in range(100)]


def test_a_request_behind_a_stream_that_began_before_the_end_is_answered() -> None:
    """The stream's head did not say that the connection would close, so that its client sends another request."""
    engine, headers = FakeEngine(gated=True), {"content-type": "application/json", "accept": "application/x-ndjson"}
    with running(engine, slice=8) as service, closing(HTTPConnection("127.0.0.1", service.port)) as client:
        client.request("POST", "/v1/generate", b'{"n":100}', headers)
        engine.permits.release()
        stream = client.getresponse()
        assert stream.getheader("connection") is None
        service.on_loop(service.server.handle_exit, signal.SIGTERM, None)
        until(lambda: not can_connect(service.port))
        engine.open()
        assert stream.read().count(b"\n") == 101
        client.request("POST", "/v1/generate", b'{"n":5}', headers)
        last = client.getresponse()
        assert (last.status, last.getheader("connection"), last.read().count(b"\n")) == (200, "close", 6)


def test_what_has_not_ended_shortly_before_the_grace_is_over_is_told_so() -> None:
    engine = FakeEngine(gated=True)
    with running(engine, drain_grace_s=1, slice=16) as service, ThreadPoolExecutor() as pool:
        whole = pool.submit(service.post, n=100)
        assert engine.entered.acquire(timeout=DEADLINE_S)
        stream = {"json": {"n": 5000, "seed": 7}, "headers": {"accept": "application/x-ndjson"}}
        with service.client.stream("POST", "/v1/generate", **stream) as answer:
            assert engine.entered.acquire(timeout=DEADLINE_S)
            service.on_loop(service.server.handle_exit, signal.SIGTERM, None)
            (last,) = map(json.loads, answer.iter_lines())
        assert last["error"]["type"] == "/docs#not-ready"
        assert assert_problem(whole.result(), 503, "not-ready")["detail"].startswith("the service is ending")
        service.thread.join(DEADLINE_S)
        assert not service.thread.is_alive()  # though the engine hangs


def test_an_engine_that_hangs_has_a_part_of_the_grace_and_not_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    async def close(self: Batcher, grace_s: float) -> None:
        given.append(grace_s)

    monkeypatch.setattr(Batcher, "close", close)
    with running(drain_grace_s=4) as service:
        settings = service.settings
    cut_off_s = service.server.config.timeout_graceful_shutdown
    assert cut_off_s is not None
    assert 4 - ending_s(settings) < cut_off_s < cut_off_s + given[0] < 4


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_answer_to_head_is_a_head_and_the_next_answer_its_own() -> None:
    with running() as service:
        both = "HEAD /livez HTTP/1.1\nHost: x\n\nGET /readyz HTTP/1.1\nHost: x\nConnection: close"
        with service.raw(both) as connection:
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert rest.startswith(b"HTTP/1.1 200 ")
        assert b'"ready"' in rest
