"""Structured logs of every process: one line an event, to stderr, without secrets."""

import contextvars
import logging
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

from domain.log_redaction import redact
from domain.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


def set_up_logs(settings: Settings) -> None:
    """Configure structlog and the standard library's logging alike."""
    level = logging.getLevelName(settings.log_level.upper())
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    written: list[structlog.types.Processor] = [
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
    structlog.configure(
        processors=[*shared, *written],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


def in_this_context(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` so that it runs in another thread with what is bound here.

    Names of the job in the log and the place in the trace do not go into the threads of a pool by
    themselves.
    """
    context = contextvars.copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # a copy for each call: one context cannot be entered by two threads at a time
        return context.copy().run(function, *args, **kwargs)

    return run
