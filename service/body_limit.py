"""Request bodies: bounded, and JSON checked before anything else reads it.

FastAPI's own `max_body_size` answers in plain text, whatever the exception handlers say, and its
JSON parser takes what cannot be stored.
"""

import re
from typing import Final

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.strict_json import parse_json

PARSED_IN_LOOP_BYTES: Final = 64 * 2**10

_PART: Final = re.compile(r"/v1/uploads/[^/]+/parts/[^/]+")
_FORMS: Final = re.compile(
    r"/v1/(pseudo-labels|image-sets|image-sets/[^/]+/annotations|models/[^/]+/versions)"
)


class BodyLimit:
    """ASGI middleware: refuses a body that declares, or turns out, to be larger than allowed.

    Files come as forms or as the parts of a resumable upload, and stream onto disk. Every other
    body is read into memory and has a bound of its own.
    """

    def __init__(self, app: ASGIApp, *, max_upload_bytes: int, max_json_bytes: int) -> None:
        self._app = app
        self._max_upload_bytes = max_upload_bytes
        self._max_json_bytes = min(max_json_bytes, max_upload_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        streams = _streams(scope, headers)
        max_bytes = self._max_upload_bytes if streams else self._max_json_bytes
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > max_bytes:
            raise HTTPException(413)
        bounded = _bounded(receive, max_bytes)
        if not streams and _is_json(headers):
            bounded = await _checked(bounded, receive)
        await self._app(scope, bounded, send)


def _streams(scope: Scope, headers: Headers) -> bool:
    """Whether the endpoint reads this body piece by piece."""
    if scope["method"] == "PUT":
        return _PART.fullmatch(scope["path"]) is not None
    is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return is_form and _FORMS.fullmatch(scope["path"]) is not None


def _is_json(headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _bounded(receive: Receive, max_bytes: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise HTTPException(413)  # the handlers make a problem of it
        return message

    return counted


async def _checked(bounded: Receive, receive: Receive) -> Receive:
    """Read the whole body, check it, and return what hands it out once more."""
    pieces, more = [], True
    while more:
        message = await bounded()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(pieces)
    if len(body) > PARSED_IN_LOOP_BYTES:
        await run_in_threadpool(parse_json, body)
    elif body:
        parse_json(body)
    handed_out = False

    async def again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
