"""Around every request: its id, its line in the log, and an answer whatever goes wrong within.

Pure ASGI: bodies and event streams pass through untouched.
"""

import time
from collections import Counter
from http import HTTPStatus
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_schemas.problems import FieldProblem, NotFound, ValidationProblem
from domain import tracing
from domain.tracing import parse_traceparent
from service.http_metrics import count_request, route_of
from service.problems import NOTHING_HERE, error_response
from service.request_names import bound_names, job_of, request_id_of

log = structlog.get_logger("service")

MAX_HEADER_BYTES: Final = 64 * 2**10
MAX_TARGET_BYTES: Final = 16 * 2**10
LOGGED_PATH_LENGTH: Final = 300
_ONCE_ONLY: Final = (b"authorization", b"content-type", b"content-length", b"idempotency-key")
_CLOSED: Final = 499  # as other servers log a client that did not wait
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Envelope:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        parent = parse_traceparent(headers.get("traceparent"))
        with tracing.span(scope["method"], parent=parent, kind="server") as span:
            answer = _Answer(send, request_id, span.traceparent)
            with structlog.contextvars.bound_contextvars(**bound_names(request_id, span)):
                try:
                    await self._answer(scope, receive, answer)
                finally:
                    _tell(scope, answer, span)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            _check(scope)
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _CLOSED
        except Exception as error:
            if answer.status:  # too late for another one: the server closes the connection
                raise
            response = error_response(Request(scope), error)
            await response(scope, receive, answer.send)


class _Answer:
    """Sends the answer on with our headers, and remembers what it was."""

    def __init__(self, send: Send, request_id: str, traceparent: str | None) -> None:
        self._send = send
        self._request_id = request_id
        self._traceparent = traceparent
        self._started = time.perf_counter()
        self._stream_seconds: float | None = None  # until an event stream began
        self.status = 0
        self.location = ""

    @property
    def seconds(self) -> float:
        """How long a client had to wait for the answer."""
        return self._stream_seconds or time.perf_counter() - self._started

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            if self._traceparent is not None:
                headers["traceparent"] = self._traceparent
            self.location = headers.get("location", "")
            if headers.get("content-type", "").startswith("text/event-stream"):
                self._stream_seconds = self.seconds
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _tell(scope: Scope, answer: _Answer, span: tracing.Span) -> None:
    """Count the request, name its span, and write its line."""
    method, route = scope["method"], route_of(scope)
    status = answer.status or int(HTTPStatus.INTERNAL_SERVER_ERROR)
    count_request(method, route, status, answer.seconds)
    job = job_of(scope, answer.location)
    span.rename(f"{method} {route}")
    http: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    span.note(**http, **job)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.fail(str(status))
    write = log.debug if method in ("GET", "HEAD") else log.info
    write(
        "request",
        method=method,
        path=_path_for_log(scope),
        status=status,
        milliseconds=round(1000 * answer.seconds, 1),
        **job,
    )


def _check(scope: Scope) -> None:
    """Refuse what no endpoint should have to think of.

    Raises:
        NotFound: a zero byte in the path: no name of ours, and PostgreSQL does not even compare it.
        ValidationProblem: one in the query.
        HTTPException: too long, or a header twice that makes sense only once.
    """
    if "\x00" in scope["path"]:
        raise NotFound(NOTHING_HERE)
    query: bytes = scope["query_string"]
    if b"%00" in query or b"\x00" in query:
        raise ValidationProblem(
            "The query holds a zero byte (%00). Leave it out.",
            errors=[FieldProblem(pointer="/query", detail="zero byte")],
        )
    if len(scope.get("raw_path") or b"") + len(query) > MAX_TARGET_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_URI_TOO_LONG)
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HTTPException(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    times = Counter(name for name, _ in headers)
    twice = [name.decode() for name in _ONCE_ONLY if times[name] > 1]
    if twice:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, f"The header {twice[0]} came twice. Send it once."
        )


def _path_for_log(scope: Scope) -> str:
    """The path as it came, percent-encoded: nobody writes lines of their own into the log."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("unicode_escape")
    return raw.decode("latin-1")[:LOGGED_PATH_LENGTH]
