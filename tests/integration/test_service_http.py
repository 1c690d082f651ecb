"""The application behind a real uvicorn, with an engine that the test holds in its hand."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.app import create_app
from service.middleware import MAX_BODY_BYTES
from service.server import Server, listen
from service.settings import Settings

DEADLINE_S = 10
STATIC = Path(__file__).parents[2] / "service" / "static"


class FakeEngine:
    """String i of a seed is "seed:i".  Warm-up and runs wait for their gates."""

    def __init__(self) -> None:
        self.warm, self.go, self.entered = threading.Event(), threading.Event(), threading.Event()
        self.warm.set()
        self.go.set()
        self.broken = False

    def warm_up(self) -> None:
        assert self.warm.wait(DEADLINE_S)

    def latents(self, seed: int, first: int, n: int) -> NDArray[np.float32]:
        return np.array([[seed, first + i] for i in range(n)], dtype=np.float32)

    def texts(self, latents: NDArray[np.float32]) -> list[str]:
        self.entered.set()
        assert self.go.wait(DEADLINE_S)
        if self.broken:
            raise RuntimeError("the engine broke")
        return [f"{int(seed)}:{int(i)}" for seed, i in latents]


class Running:
    """A server on a thread of its own."""

    def __init__(self, engine: FakeEngine, **settings: Any) -> None:
        self.engine = engine
        self.settings = Settings(model=Path("names"), port=0, drain_delay_s=0, drain_grace_s=5, **settings)
        artifact: Any = SimpleNamespace(name="names", digest="d" * 64)
        self.app = create_app(self.settings, artifact=artifact, open_engine=lambda artifact, threads: engine)
        self.server = Server(self.app, self.settings)
        self.listener = listen(self.settings.host, 0)
        self.port = self.listener.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=DEADLINE_S)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def post(self, **body: object) -> httpx.Response:
        return self.client.post("/v1/generate", json=body)

    def raw(self, head: str, body: bytes = b"") -> socket.socket:
        """A connection on which a request has been sent, as it is."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection

    @property
    def queued(self) -> int:
        return int(self.app.state.serving.batcher.queued)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.005)


@contextmanager
def running(engine: FakeEngine | None = None, **settings: Any) -> Iterator[Running]:
    service = Running(engine or FakeEngine(), **settings)
    service.thread.start()
    try:
        until(lambda: service.server.started)
        if service.engine.warm.is_set():
            until(lambda: service.client.get("/readyz").status_code == 200)
        yield service
    finally:
        service.engine.warm.set()
        service.engine.go.set()
        service.client.close()
        service.server.should_exit = True
        service.thread.join(DEADLINE_S)
        assert not service.thread.is_alive()


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as service:
        yield service


def assert_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert content["type"] == f"/docs#{kind}"
    assert content["status"] == status
    assert content["title"]
    assert content["detail"]
    return content


def test_generate_answers_texts_seed_and_model(service: Running) -> None:
    answer = service.post(n=3, seed=7)
    assert answer.status_code == 200
    identity = {"name": "names", "digest": "d" * 64}
    assert answer.json() == {"texts": ["7:0", "7:1", "7:2"], "seed": 7, "model": identity}


def test_an_absent_seed_is_drawn_and_told(service: Running) -> None:
    first, second = service.post().json(), service.post(seed=None).json()
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**53


MALFORMED = {
    "empty": (b"", 400, None),
    "blank": (b"  ", 400, None),
    "cut off": (b'{"n": 1', 400, None),
    "trailing": (b'{"n": 1} x', 400, None),
    "trailing comma": (b'{"n": 1,}', 400, None),
    "single quotes": (b"{'n': 1}", 400, None),
    "not utf-8": (b'{"n": "\xff"}', 400, None),
    "utf-16": ('{"n": 1}'.encode("utf-16"), 400, None),
    "byte order mark": (b'\xef\xbb\xbf{"n": 1}', 400, None),
    "NUL": (b"\x00", 400, None),
    "form": (b"n=1", 400, None),
    "array": (b"[1]", 400, None),
    "string": (b'"n"', 400, None),
    "number": (b"3", 400, None),
    "null": (b"null", 400, None),
    "NaN": (b'{"n": NaN}', 400, None),
    "Infinity": (b'{"n": Infinity}', 400, None),
    "minus Infinity": (b'{"seed": -Infinity}', 400, None),
    "duplicate": (b'{"n": 1, "n": 2}', 400, "n"),
    "duplicate, nested": (b'{"n": {"x": 1, "x": 2}}', 400, None),
    "deep": (b"[" * 60_000, 400, None),
    "deep in n": (b'{"n": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, None),
    "a number of many digits": (b'{"n": ' + b"9" * 5000 + b"}", 400, None),
    "zero": (b'{"n": 0}', 422, "n"),
    "negative": (b'{"n": -1}', 422, "n"),
    "one too many": (b'{"n": 10001}', 422, "n"),
    "64 bits": (b'{"n": 18446744073709551616}', 422, "n"),
    "1000 digits": (b'{"n": ' + b"9" * 1000 + b"}", 422, "n"),
    "beyond floating point": (b'{"n": 1e999}', 422, "n"),
    "whole float": (b'{"n": 2.0}', 422, "n"),
    "exponent": (b'{"n": 1e1}', 422, "n"),
    "true": (b'{"n": true}', 422, "n"),
    "numeral": (b'{"n": "3"}', 422, "n"),
    "lone surrogate": (b'{"n": "\\ud800"}', 422, "n"),
    "lone surrogate as a key": (b'{"\\udfff": 1}', 422, None),
    "null n": (b'{"n": null}', 422, "n"),
    "array n": (b'{"n": [1]}', 422, "n"),
    "object n": (b'{"n": {}}', 422, "n"),
    "negative seed": (b'{"seed": -1}', 422, "seed"),
    "2^53": (b'{"seed": 9007199254740992}', 422, "seed"),
    "false seed": (b'{"seed": false}', 422, "seed"),
    "unknown key": (b'{"count": 1}', 422, None),
    "upper case": (b'{"N": 1}', 422, None),
    "prototype": (b'{"__proto__": {"n": 1}}', 422, None),
}


@pytest.mark.parametrize(("body", "status", "field"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_the_clients_error(service: Running, body: bytes, status: int, field: str | None) -> None:
    answer = service.client.post("/v1/generate", content=body, headers={"Content-Type": "application/json"})
    content = assert_problem(answer, status, "malformed-body" if status == 400 else "invalid-field")
    if field is not None:
        (error,) = content["errors"]
        assert error["field"] == field
        assert error["bound"]
        assert field in content["detail"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_must_be_declared_as_json(service: Running, media_type: str) -> None:
    answer = service.client.post("/v1/generate", content=b"{}", headers={"Content-Type": media_type})
    assert_problem(answer, 415, "unsupported-media-type")


def test_a_charset_beside_the_media_type_is_accepted(service: Running) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.client.post("/v1/generate", content=b"{}", headers=headers).status_code == 200


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_is_not(service: Running) -> None:
    headers = {"Content-Type": "application/json"}
    body = b"{}".ljust(MAX_BODY_BYTES)
    assert service.client.post("/v1/generate", content=body, headers=headers).status_code == 200
    answer = service.client.post("/v1/generate", content=body + b" ", headers=headers)
    assert_problem(answer, 413, "body-too-large")


HEAD = "POST /v1/generate HTTP/1.1\nHost: x\nContent-Type: application/json\n"


def test_a_declared_length_is_refused_before_the_body_is_sent(service: Running) -> None:
    with service.raw(f"{HEAD}Content-Length: 200000000") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_is_refused_while_it_is_still_arriving(service: Running) -> None:
    chunk = b"%x\r\n" % 8192 + b" " * 8192 + b"\r\n"
    with service.raw(f"{HEAD}Transfer-Encoding: chunked", chunk * 9) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_never_ends_is_given_up() -> None:
    with running(body_timeout_s=0.05) as service, service.raw(f"{HEAD}Content-Length: 10", b"{") as connection:
        answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()


def test_a_wrong_path_or_method_is_a_problem_too(service: Running) -> None:
    assert_problem(service.client.get("/v2/generate"), 404, "not-found")
    assert_problem(service.client.get("/static/none.css"), 404, "not-found")
    answer = service.client.put("/v1/generate")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


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
        loop = service.server.servers[0].get_loop()
        service.server.settings = service.settings.model_copy(update={"drain_delay_s": 3600.0})
        loop.call_soon_threadsafe(service.server.handle_exit, signal.SIGTERM, None)
        until(lambda: service.client.get("/readyz").status_code == 503)
        assert service.post().status_code == 200
        loop.call_soon_threadsafe(service.server.handle_exit, signal.SIGTERM, None)  # the second one is impatient
        service.thread.join(DEADLINE_S)
        with pytest.raises(httpx.ConnectError):
            service.post()


def test_what_was_accepted_is_answered_after_connections_are_refused() -> None:
    engine = FakeEngine()
    engine.go.clear()
    with running(engine, slice=8) as service, ThreadPoolExecutor() as pool:
        accepted = pool.submit(service.post, n=100, seed=1)
        assert engine.entered.wait(DEADLINE_S)
        loop = service.server.servers[0].get_loop()
        loop.call_soon_threadsafe(service.server.handle_exit, signal.SIGTERM, None)
        until(lambda: not can_connect(service.port))
        engine.go.set()
        assert accepted.result().json()["texts"] == [f"1:{i}" for i in range(100)]


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_full_queue_is_answered_with_429_and_a_time() -> None:
    engine = FakeEngine()
    engine.go.clear()
    with running(engine, max_n=20, max_strings_queued=20, slice=8) as service, ThreadPoolExecutor() as pool:
        accepted = [pool.submit(service.post, n=20, seed=1)]
        assert engine.entered.wait(DEADLINE_S)
        answer = service.post(n=20)
        content = assert_problem(answer, 429, "queue-full")
        assert int(answer.headers["retry-after"]) >= 1
        assert "12 strings wait already, at most 20 may, 20 were asked for" in content["detail"]
        accepted.append(pool.submit(service.post, n=8, seed=2))
        until(lambda: service.queued == 20)
        engine.go.set()
        assert [len(answer.result().json()["texts"]) for answer in accepted] == [20, 8]


def test_a_client_that_goes_away_frees_its_place_in_the_queue() -> None:
    engine = FakeEngine()
    engine.go.clear()
    with running(engine) as service:
        body = b'{"n": 10000}'
        with service.raw(f"{HEAD}Content-Length: {len(body)}", body):
            assert engine.entered.wait(DEADLINE_S)
            until(lambda: service.queued > 9000)
        until(lambda: service.queued == 0)
        engine.go.set()
        assert service.post(n=1, seed=3).json()["texts"] == ["3:0"]


def test_a_small_request_is_answered_while_a_large_one_is_worked_on() -> None:
    engine = FakeEngine()
    engine.go.clear()
    with running(engine, slice=2) as service, ThreadPoolExecutor() as pool:
        large = pool.submit(service.post, n=10_000, seed=1)
        assert engine.entered.wait(DEADLINE_S)
        small = pool.submit(service.post, n=1, seed=2)
        until(lambda: service.queued == 9_999)
        engine.go.set()
        assert small.result().json()["texts"] == ["2:0"]
        assert not large.done()
        assert large.result().json()["texts"] == [f"1:{i}" for i in range(10_000)]


def test_an_engine_that_fails_is_a_500_and_the_service_goes_on(service: Running) -> None:
    service.engine.broken = True
    assert_problem(service.post(), 500, "engine-failed")
    service.engine.broken = False
    assert service.post(seed=1).json()["texts"] == ["1:0"]


def test_an_unforeseen_error_is_a_problem_that_tells_nothing() -> None:
    with running() as service:
        service.app.state.serving.artifact = None
        content = assert_problem(service.post(), 500, "internal-error")
        assert "NoneType" not in json.dumps(content)


def test_every_kind_of_answer_is_documented(service: Running) -> None:
    description = service.client.get("/openapi.json").json()
    assert set(description["paths"]) == {"/v1/generate", "/livez", "/readyz"}
    generate = description["paths"]["/v1/generate"]["post"]
    assert set(generate["responses"]) == {"200", "400", "408", "413", "415", "422", "429", "500", "503"}
    for path in ("/livez", "/readyz"):
        assert set(description["paths"][path]["get"]["responses"]) == {"200", "500", "503"}
    for methods in description["paths"].values():
        for status, answer in next(iter(methods.values()))["responses"].items():
            media_type = "application/json" if status == "200" else "application/problem+json"
            assert "schema" in answer["content"][media_type]
            assert status == "200" or answer["content"][media_type]["examples"]


def test_every_reference_of_the_description_leads_somewhere(service: Running) -> None:
    text = service.client.get("/openapi.json").text
    schemas = json.loads(text)["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(schemas)


def test_the_examples_of_the_description_work(service: Running) -> None:
    operation = service.client.get("/openapi.json").json()["paths"]["/v1/generate"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        assert service.post(**example["value"]).status_code == 200


def test_the_description_names_the_bound_of_the_settings() -> None:
    with running(max_n=17) as service:
        schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
        assert schemas["GenerateRequest"]["properties"]["n"]["maximum"] == 17
        assert service.post(n=17).status_code == 200
        assert "between 1 and 17, got 18" in assert_problem(service.post(n=18), 422, "invalid-field")["detail"]


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
