"""Spans by OpenTelemetry. Imported only where traces are asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from domain.tracing import Attributes, Kind

_KINDS: Final = {
    "server": SpanKind.SERVER,
    "internal": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class _Recorded:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent: str | None = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, **attributes: str | int | float | bool) -> None:
        self._span.set_attributes(_named(attributes))

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class OtelBackend:
    """Records spans with a provider of its own, not the process-wide one."""

    def __init__(self, process: str, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": f"selvage-{process}"})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("selvage")

    @contextmanager
    def span(
        self, name: str, *, parent: str | None, kind: Kind, attributes: Attributes
    ) -> Iterator[_Recorded]:
        """Record a span until the end of the block."""
        span = self._tracer.start_span(
            name, context=_context(parent), kind=_KINDS[kind], attributes=_named(attributes)
        )
        try:
            yield _Recorded(span)
        finally:
            span.end()

    def shut_down(self) -> None:
        """Send what waits; gives up soon if nobody takes it."""
        self._provider.shutdown()


def otlp_backend(process: str) -> OtelBackend:
    """Return a backend that sends spans where OpenTelemetry's own variables say."""
    return OtelBackend(process, BatchSpanProcessor(OTLPSpanExporter()))


def _context(parent: str | None) -> Context:
    """The context of a valid traceparent; an empty one, which starts a trace, if there is none."""
    if parent is None:
        return Context()
    _, trace_id, span_id, flags = parent.split("-")
    context = SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
    return set_span_in_context(NonRecordingSpan(context), Context())


def _named(attributes: Attributes) -> dict[str, str | int | float | bool]:
    """Our own names get a prefix; those with a dot are OpenTelemetry's."""
    return {n if "." in n else f"selvage.{n}": value for n, value in attributes.items()}
