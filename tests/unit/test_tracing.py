"""Which traceparents are accepted, what is passed on, and what a span tells."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from model.errors import MissingDependencyError
from service.settings import Settings
from service.tracing import (
    MOST_STATE_BYTES,
    UNTRACED,
    OpenTelemetry,
    TraceParent,
    Tracer,
    open_tracer,
    parse,
    parse_headers,
    parse_state,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01".encode()
TRACING = Settings(model=Path("m"), tracing=True)


def test_a_traceparent_is_read_and_written() -> None:
    found = parse(VALID)
    assert found == TraceParent(TRACE, SPAN, 1)
    assert found.headers() == [(b"traceparent", VALID)]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"00",
        VALID.upper(),
        VALID[:-1],
        VALID + b"0",
        VALID + b"-more",
        VALID + b"\n",
        b" " + VALID,
        b"ff" + VALID[2:],
        b"0g" + VALID[2:],
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-0x".encode(),
        f"00_{TRACE}_{SPAN}_01".encode(),
        f"01-{TRACE}-{SPAN}-01more".encode(),
        f"00-{TRACE}-{SPAN}-0\u0661".encode(),
    ],
)
def test_an_invalid_traceparent_is_ignored(header: bytes) -> None:
    assert parse(header) is None


def test_of_a_newer_version_what_is_known_is_read() -> None:
    assert parse(f"cc-{TRACE}-{SPAN}-ff-what-comes-later".encode()) == TraceParent(TRACE, SPAN, 1)
    assert parse(f"cc-{TRACE}-{SPAN}-00".encode()) == TraceParent(TRACE, SPAN, 0)


def test_flags_that_nobody_knows_are_not_passed_on() -> None:
    found = parse(f"00-{TRACE}-{SPAN}-ff".encode())
    assert found is not None
    assert found.headers() == [(b"traceparent", VALID[:-2] + b"03")]


def test_a_child_belongs_to_the_trace_and_is_sampled_as_its_parent() -> None:
    parent = TraceParent(TRACE, SPAN, 1, "congo=t61")
    child = parent.child()
    assert (child.trace_id, child.flags, child.state) == (TRACE, 1, "congo=t61")
    assert child.span_id != SPAN
    assert parse_headers(dict(child.headers())) == child


def test_two_traceparents_count_as_none() -> None:
    assert parse_headers({b"traceparent": b" " + VALID + b"\t"}) == TraceParent(TRACE, SPAN, 1)
    assert parse_headers({b"traceparent": VALID + b", " + VALID}) is None
    assert parse_headers({b"accept": b"*/*"}) is None


def test_a_tracestate_goes_with_its_traceparent_and_not_alone() -> None:
    found = parse_headers({b"traceparent": VALID, b"tracestate": b"rojo=00f067, congo=t61\t,,"})
    assert found == TraceParent(TRACE, SPAN, 1, "rojo=00f067,congo=t61")
    assert found.headers() == [(b"traceparent", VALID), (b"tracestate", b"rojo=00f067,congo=t61")]
    assert parse_headers({b"traceparent": VALID[1:], b"tracestate": b"congo=t61"}) is None


@pytest.mark.parametrize("state", ["a=b=c", "A=b", "a", "=b", "a=", "a=\x7f", "a=é", "a@b@c=d", ",".join(["a=b"] * 33)])
def test_an_invalid_tracestate_is_dropped_and_the_trace_kept(state: str) -> None:
    given = {b"traceparent": VALID, b"tracestate": state.encode("latin-1")}
    assert parse_headers(given) == TraceParent(TRACE, SPAN, 1)


def test_of_a_tracestate_that_is_too_long_the_long_members_go_first_and_then_the_last() -> None:
    long, short = f"a={'x' * 200}", [f"b{number:02}={'y' * 26}" for number in range(20)]
    kept = parse_state(",".join([long, *short]).encode())
    assert kept == ",".join(short[:16])
    assert len(kept) <= MOST_STATE_BYTES < len(",".join(short[:18]))
    whole = ",".join([long, *short[:10]])
    assert parse_state(whole.encode()) == whole


def test_without_tracing_a_span_is_nothing_and_no_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tracer = open_tracer(Settings(model=Path("m")))
    assert tracer is UNTRACED
    with tracer.span("charwgan.generate", TraceParent(TRACE, SPAN)) as span:
        span.set(strings=1)
        assert span.traceparent is None
    with pytest.raises(KeyError), tracer.span("charwgan.generate"):
        raise KeyError  # passes through
    tracer.close(0)
    assert not tracer.enabled


@pytest.mark.parametrize(
    "package", ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"]
)
def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"tracing needs opentelemetry.*pip install '.\[otel\]'"):
        open_tracer(TRACING)


@pytest.fixture
def traced() -> Iterator[tuple[Tracer, Any]]:
    """A tracer, and the exporter that holds what it sent."""
    export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="needs the extra otel")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    tracer = open_tracer(TRACING, export.SimpleSpanProcessor(memory))
    yield tracer, memory
    tracer.close(5)


def test_a_span_belongs_to_the_caller_s_trace_and_has_the_figures(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced
    with tracer.span("charwgan.generate", TraceParent(TRACE, SPAN, 1)) as span:
        span.set(strings=64, queue_wait_s=0.25, inference_s=0.5)
        onward = span.traceparent
    (sent,) = memory.get_finished_spans()
    assert sent.name == "charwgan.generate"
    assert dict(sent.attributes) == {"charwgan.strings": 64, "charwgan.queue_wait_s": 0.25, "charwgan.inference_s": 0.5}
    assert (sent.parent.trace_id, sent.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert onward == TraceParent(TRACE, f"{sent.context.span_id:016x}", 1)
    assert sent.resource.attributes["service.name"] == "charwgan"
    assert sent.kind.name == "SERVER"
    assert sent.status.is_ok


def test_a_span_passes_its_caller_s_tracestate_on(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced
    with tracer.span("charwgan.generate", TraceParent(TRACE, SPAN, 1, "rojo=00f067,congo=t61")) as span:
        onward = span.traceparent
    (sent,) = memory.get_finished_spans()
    assert onward is not None
    assert onward.state == sent.context.trace_state.to_header() == "rojo=00f067,congo=t61"


def test_a_span_without_a_caller_begins_a_trace(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced
    for _ in range(2):
        with tracer.span("charwgan.generate"):
            pass
    first, second = memory.get_finished_spans()
    assert first.parent is None
    assert first.context.trace_id != second.context.trace_id


def test_a_trace_that_the_caller_does_not_record_is_passed_on_and_not_sent(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced
    with tracer.span("charwgan.generate", TraceParent(TRACE, SPAN, 0)) as span:
        onward = span.traceparent
    assert memory.get_finished_spans() == ()
    assert onward is not None
    assert (onward.trace_id, onward.flags) == (TRACE, 0)


def test_a_failure_is_told_by_its_kind_and_never_by_its_words(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced
    with pytest.raises(ValueError, match="the text of a request"), tracer.span("charwgan.generate"):
        raise ValueError("the text of a request")
    (sent,) = memory.get_finished_spans()
    assert (sent.status.status_code.name, sent.status.description) == ("ERROR", "ValueError")
    assert dict(sent.attributes) == {"error.type": "ValueError"}
    assert sent.events == ()


def test_spans_of_requests_that_run_at_once_stay_apart(traced: tuple[Tracer, Any]) -> None:
    tracer, memory = traced

    async def request(number: int) -> None:
        with tracer.span("charwgan.generate") as span:
            await asyncio.sleep(0)
            span.set(strings=number)

    async def main() -> None:
        await asyncio.gather(*(request(number) for number in range(20)))

    asyncio.run(main())
    sent = memory.get_finished_spans()
    assert sorted(span.attributes["charwgan.strings"] for span in sent) == list(range(20))
    assert all(span.parent is None for span in sent)


def test_a_name_that_the_environment_gives_the_service_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    export = pytest.importorskip("opentelemetry.sdk.trace.export", reason="needs the extra otel")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "names")
    tracer = open_tracer(TRACING, export.SimpleSpanProcessor(memory))
    with tracer.span("charwgan.generate"):
        pass
    assert memory.get_finished_spans()[0].resource.attributes["service.name"] == "names"


class Collector(BaseHTTPRequestHandler):
    """Takes spans by OTLP over HTTP."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_spans_arrive_at_the_collector_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="needs the extra otel")
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        collector.received = []  # type: ignore[attr-defined]
        serving = threading.Thread(target=collector.serve_forever)
        serving.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        tracer = open_tracer(TRACING)
        with tracer.span("charwgan.generate"):
            pass
        tracer.close(30)
        collector.shutdown()
        serving.join()
        ((path, body),) = collector.received  # type: ignore[attr-defined]
    assert path == "/v1/traces"
    assert b"charwgan.generate" in body


def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    pytest.importorskip("opentelemetry.sdk.trace", reason="needs the extra otel")
    from opentelemetry.sdk.trace import SpanProcessor

    released, closing = threading.Event(), threading.Event()

    class Stuck(SpanProcessor):
        def shutdown(self) -> None:
            closing.set()
            released.wait()

    tracer = OpenTelemetry(Stuck())
    tracer.close(0.01)
    assert closing.wait(30)
    released.set()
