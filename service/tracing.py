"""Traces: the W3C headers that say which one a request belongs to, and spans for OpenTelemetry where that is wanted.

    parent = parse_headers(given)                           None: absent or not as the standard wants it
    with tracer.span("charwgan.generate", parent) as span:
        span.set(strings=64, queue_wait_s=0.004)            attributes charwgan.strings, charwgan.queue_wait_s
        onward = span.traceparent                           of the span; None: nothing is traced, parent.child() may do

Without ``tracing`` the tracer is ``Untraced``, whose one span does nothing.  https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from model.errors import MissingDependencyError, how_to_install
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace import SpanProcessor

VERSION = "00"
FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
SAMPLED = 0x01
KNOWN_FLAGS = 0x03  # sampled, and that the trace id is random; a newer version may know more

VALUE = r"[\x21-\x2b\x2d-\x3c\x3e-\x7e]"  # printable, but for the blank, the comma and the equals sign
KEY = r"[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255}"
MEMBER = re.compile(rf"(?:{KEY})=(?:{VALUE}| ){{0,255}}{VALUE}")
MOST_MEMBERS = 32
MOST_STATE_BYTES = 512  # of tracestate that are passed on, which the standard asks for
LONG_MEMBER_BYTES = 128  # what is longer is left out first

Attribute = str | bool | int | float


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Which trace a request belongs to (32 hexadecimal digits), and which span of it asked (16).

    state: what the tracers before this one noted, which is passed on as it is.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    def child(self) -> TraceParent:
        """A new span of the same trace."""
        # Ids are no secrets, and asking the operating system for them would give the interpreter away each time.
        return replace(self, span_id=f"{random.getrandbits(64) or 1:016x}")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """``traceparent``, and ``tracestate`` where there is one."""
        parent = f"{VERSION}-{self.trace_id}-{self.span_id}-{self.flags:02x}".encode()
        return [(b"traceparent", parent)] + ([(b"tracestate", self.state.encode())] if self.state else [])


def parse_headers(given: Mapping[bytes, bytes]) -> TraceParent | None:
    """What ``traceparent`` and ``tracestate`` say; None if the first is absent or invalid, as the standard wants it.

    given: headers by name; two of a name are a list, which is no traceparent.
    """
    parent = parse(given[b"traceparent"].strip(b" \t")) if b"traceparent" in given else None
    if parent is None or b"tracestate" not in given:
        return parent
    return replace(parent, state=parse_state(given[b"tracestate"]))


def parse(header: bytes) -> TraceParent | None:
    """The value of a ``traceparent``; None if it is invalid, and then the standard wants it ignored."""
    match = FORM.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags = (part.decode() for part in match.groups()[:4])
    newer = version != VERSION
    if version == "ff" or (match[5] is not None and not newer) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16) & (SAMPLED if newer else KNOWN_FLAGS))


def parse_state(header: bytes) -> str:
    """The value of a ``tracestate``, without what is beyond its bound; empty if it is invalid."""
    members = [member for part in header.decode("latin-1").split(",") if (member := part.strip(" \t"))]
    if len(members) > MOST_MEMBERS or not all(map(MEMBER.fullmatch, members)):
        return ""
    if len(",".join(members)) > MOST_STATE_BYTES:
        members = [member for member in members if len(member) <= LONG_MEMBER_BYTES]
    while len(",".join(members)) > MOST_STATE_BYTES:
        members.pop()  # the oldest
    return ",".join(members)


class Span(Protocol):
    """A piece of work, timed from ``with`` to its end; an exception that leaves it marks it as failed."""

    @property
    def traceparent(self) -> TraceParent | None:
        """What to pass on; None if nothing is traced."""

    def set(self, **attributes: Attribute) -> None:
        """Note figures; never a text of the request.  Each name gets the prefix ``charwgan.``."""

    def __enter__(self) -> Span: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """What makes spans.  enabled: whether figures for them are worth gathering."""

    enabled: bool

    def span(self, name: str, parent: TraceParent | None = None) -> Span:
        """A span of the parent's trace, or the first of a new one."""

    def close(self, grace_s: float) -> None:
        """Send what has not been sent; give up after grace_s seconds."""


class Untraced:
    """The tracer that makes no traces, and its only span."""

    enabled = False
    traceparent = None

    def span(self, name: str, parent: TraceParent | None = None) -> Untraced:
        """Itself."""
        return self

    def close(self, grace_s: float) -> None:
        """Nothing."""

    def set(self, **attributes: Attribute) -> None:
        """Nothing."""

    def __enter__(self) -> Untraced:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        pass


UNTRACED = Untraced()


def open_tracer(settings: Settings, processor: SpanProcessor | None = None) -> Tracer:
    """The tracer that the settings ask for.

    processor: where spans go; None: in batches to OTEL_EXPORTER_OTLP_ENDPOINT, by HTTP, as the OTEL_ variables say.
    Raises MissingDependencyError if OpenTelemetry is needed and not installed.
    """
    if not settings.tracing:
        return UNTRACED
    try:
        return OpenTelemetry(processor)
    except ImportError as error:
        raise MissingDependencyError(
            f"tracing needs {error.name or 'OpenTelemetry'}, which is not installed: {how_to_install('otel')}, "
            "or leave tracing out"
        ) from error


class OpenTelemetry:
    """Spans by the OpenTelemetry SDK, in a provider of the application's own.  Of a parent, sampling is its."""

    enabled = True

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        if processor is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            processor = BatchSpanProcessor(OTLPSpanExporter())
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        resource = Resource.create({} if named else {"service.name": "charwgan"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer, self._api = self._provider.get_tracer("charwgan"), trace

    def span(self, name: str, parent: TraceParent | None = None) -> OpenTelemetrySpan:
        """A span of a request, begun now."""
        api = self._api
        context = None
        if parent is not None:
            flags, state = api.TraceFlags(parent.flags & SAMPLED), api.TraceState.from_header([parent.state])
            ids = int(parent.trace_id, 16), int(parent.span_id, 16)
            remote = api.SpanContext(*ids, is_remote=True, trace_flags=flags, trace_state=state)
            context = api.set_span_in_context(api.NonRecordingSpan(remote))
        return OpenTelemetrySpan(self._tracer.start_span(name, context, kind=api.SpanKind.SERVER))

    def close(self, grace_s: float) -> None:
        """Send what has not been sent; give up after grace_s seconds, as with a collector that does not answer."""
        thread = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        thread.start()
        thread.join(grace_s)


class OpenTelemetrySpan:
    """A span that is recorded."""

    def __init__(self, span: api.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> TraceParent:
        context = self._span.get_span_context()
        ids, state = (f"{context.trace_id:032x}", f"{context.span_id:016x}"), context.trace_state.to_header()
        return TraceParent(*ids, int(context.trace_flags), state)

    def set(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(f"charwgan.{name}", value)

    def __enter__(self) -> OpenTelemetrySpan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if kind is not None:
            from opentelemetry.trace import Status, StatusCode

            # The kind alone: the message of an exception may quote the request.
            self._span.set_attribute("error.type", kind.__qualname__)
            self._span.set_status(Status(StatusCode.ERROR, kind.__qualname__))
        self._span.end()
