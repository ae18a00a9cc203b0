"""Traces: one from the request over its job and chunks to the stages of each image.

Where a span stands in its trace travels as a W3C `traceparent`: in the request's header, on the
job's row, in a context variable within a process. Spans are recorded only where the extra
`selvage[tracing]` is installed and OpenTelemetry's variables say where to; otherwise a span costs
next to nothing, nothing of its SDK is imported, and a client's `traceparent` is still handed
on, so that its own trace does not break here.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Final, Literal, Protocol

import structlog

log = structlog.get_logger("tracing")

Kind = Literal["server", "internal", "producer", "consumer"]
Attributes = Mapping[str, str | int | float | bool]

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-[!-~]{1,200})?"
)
_current: ContextVar[str | None] = ContextVar("selvage_traceparent", default=None)


class Span(Protocol):
    """A span that is going on."""

    traceparent: str | None

    def rename(self, name: str) -> None: ...

    def note(self, **attributes: str | int | float | bool) -> None: ...

    def fail(self, reason: str) -> None: ...


class Backend(Protocol):
    """What records spans."""

    def span(
        self, name: str, *, parent: str | None, kind: Kind, attributes: Attributes
    ) -> AbstractContextManager[Span]: ...

    def shut_down(self) -> None: ...


class _NoSpan:
    """Stands for a span where none are recorded."""

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent

    def rename(self, name: str) -> None:
        return

    def note(self, **attributes: str | int | float | bool) -> None:
        return

    def fail(self, reason: str) -> None:
        return


_backend: Backend | None = None


def parse_traceparent(header: str | None) -> str | None:
    """Return a `traceparent` as version 00 has it; None for anything that is not valid."""
    match = _TRACEPARENT.fullmatch(header or "")
    if match is None or (match["version"] == "00" and match["more"]):
        return None
    return f"00-{match['trace']}-{match['span']}-{match['flags']}"


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the part that all spans of a trace share."""
    return traceparent.split("-")[1] if traceparent else None


def current_traceparent() -> str | None:
    """Return where the code that asks stands in its trace."""
    return _current.get()


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    kind: Kind = "internal",
    **attributes: str | int | float | bool,
) -> Iterator[Span]:
    """A span below `parent`, or below the one that is going on here."""
    parent = parent or _current.get()
    if _backend is None:
        token = _current.set(parent)
        try:
            yield _NoSpan(parent)
        finally:
            _current.reset(token)
        return
    with _backend.span(name, parent=parent, kind=kind, attributes=attributes) as started:
        token = _current.set(started.traceparent)
        try:
            yield started
        except Exception as error:
            started.fail(type(error).__name__)
            raise
        finally:
            _current.reset(token)


def use(backend: Backend | None) -> None:
    """Record spans with this backend from now on; None: record none."""
    global _backend
    _backend = backend


def set_up(process: str) -> None:
    """Record spans if the environment asks for it; called once, when a process starts."""
    is_wanted = any(os.environ.get(name) for name in ENDPOINT_VARIABLES)
    if not is_wanted or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if importlib.util.find_spec("opentelemetry") is None:
        log.warning("traces are asked for; install them with: pip install 'selvage[tracing]'")
        return
    from domain import tracing_export

    use(tracing_export.otlp_backend(process))


def shut_down() -> None:
    """Send what was recorded, and record no more."""
    if _backend is not None:
        _backend.shut_down()
        use(None)
