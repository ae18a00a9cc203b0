"""What a request is called in logs and traces: its own name if it brings a sane one."""

import re
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import Scope

from api_schemas.ids import new_id
from domain.tracing import Span, trace_id_of

_SANE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_JOB: Final = re.compile(r"/v1/jobs/(job_[0-9A-Za-z]{1,40})")


def request_id_of(headers: Headers) -> str:
    """Return the `X-Request-Id` of a client or proxy; a new one if it is none that we would log."""
    given = headers.getlist("x-request-id")
    return given[0] if len(given) == 1 and _SANE.fullmatch(given[0]) else new_id("req")


def bound_names(request_id: str, span: Span) -> dict[str, str]:
    """Return what every line of the log says that is written for this request."""
    trace_id = trace_id_of(span.traceparent)
    return {"request_id": request_id, **({"trace_id": trace_id} if trace_id else {})}


def job_of(scope: Scope, location: str) -> dict[str, str]:
    """Return the job that a request was about, or that it has made."""
    parameters: dict[str, Any] = scope.get("path_params") or {}
    match = _JOB.fullmatch(location)
    job_id = match[1] if match else str(parameters.get("job_id", ""))
    return {"job": job_id[:44]} if _JOB.fullmatch(f"/v1/jobs/{job_id}") else {}
