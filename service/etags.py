"""ETags: answering 304 where the client has what it asks for."""

from typing import Annotated

from fastapi import Header
from fastapi.responses import Response

IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="ETag of the copy you have")
]


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether the ETags that a client sent name `etag` (RFC 9110: weakly compared, `*` is any)."""
    if if_none_match is None:
        return False
    sent = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in sent or etag.removeprefix("W/") in sent


def not_modified(headers: dict[str, str]) -> Response:
    """Answer 304 with the headers of the full answer."""
    kept = {name: value for name, value in headers.items() if name != "Content-Length"}
    return Response(status_code=304, headers=kept)


def send_document(body: str, etag: str, if_none_match: str | None) -> Response:
    """Answer with a JSON document that is to be asked for anew each time, or 304."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    return Response(body, 200, headers, media_type="application/json")
