"""A bound on request bodies that answers with a problem document.

FastAPI's own `max_body_size` answers in plain text, whatever the exception handlers say.
"""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import http_problem_response


class BodyLimit:
    """ASGI middleware: refuses a body that declares, or turns out, to be larger than allowed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            response = http_problem_response(Request(scope), HTTPException(413))
            await response(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413)  # the handlers make a problem of it
            return message

        await self._app(scope, counted, send)
