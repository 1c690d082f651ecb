"""Traces: the W3C header that says which one a request belongs to, and spans for OpenTelemetry where that is wanted.

    parent = parse(header)                                  None: absent or not as the standard wants it
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
from collections.abc import Iterable
from dataclasses import dataclass
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

Attribute = str | bool | int | float


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Which trace a request belongs to (32 hexadecimal digits), and which span of it asked (16)."""

    trace_id: str
    span_id: str
    flags: int = 0

    @classmethod
    def new(cls, *, sampled: bool = False) -> TraceParent:
        """The beginning of a trace."""
        # Ids are no secrets, and asking the operating system for them would give the interpreter away each time.
        return cls(f"{random.getrandbits(128) or 1:032x}", _span_id(), (SAMPLED if sampled else 0) | 0x02)

    @property
    def sampled(self) -> bool:
        """Whether the caller records the trace."""
        return bool(self.flags & SAMPLED)

    def child(self) -> TraceParent:
        """A new span of the same trace."""
        return TraceParent(self.trace_id, _span_id(), self.flags)

    def header(self) -> bytes:
        """The value of ``traceparent``."""
        return f"{VERSION}-{self.trace_id}-{self.span_id}-{self.flags:02x}".encode()


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"


def parse(header: bytes | None) -> TraceParent | None:
    """The value of a ``traceparent``; None if it is absent or invalid, and then the standard wants it ignored."""
    match = FORM.fullmatch(header) if header is not None else None
    if match is None:
        return None
    version, trace_id, span_id, flags = (part.decode() for part in match.groups()[:4])
    newer = version != VERSION
    if version == "ff" or (match[5] is not None and not newer) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16) & (SAMPLED if newer else KNOWN_FLAGS))


def parse_headers(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The ``traceparent`` among headers as ASGI has them; two of them count as none."""
    found = [value for name, value in headers if name == b"traceparent"]
    return parse(found[0].strip(b" \t")) if len(found) == 1 else None


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
            flags = api.TraceFlags(parent.flags & SAMPLED)
            remote = api.SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags
            )
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
        return TraceParent(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags))

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
