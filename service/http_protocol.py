"""The parser of HTTP/1.1: what is no HTTP at all is answered like everything else, by a problem."""

import json
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api_schemas.problems import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_BASE

_BODY: Final = json.dumps(
    {
        "type": f"{PROBLEM_TYPE_BASE}bad-request",
        "title": "Bad Request",
        "status": 400,
        "detail": "This is not a valid HTTP/1.1 request, or its first lines are far too long.",
        "code": "bad-request",
        "retryable": False,
    }
).encode()
_ANSWER: Final = (
    "HTTP/1.1 400 Bad Request\r\n"
    f"content-type: {PROBLEM_MEDIA_TYPE}\r\n"
    f"content-length: {len(_BODY)}\r\n"
    "x-content-type-options: nosniff\r\n"
    "connection: close\r\n\r\n"
).encode() + _BODY


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with one answer of its own in our words."""

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_ANSWER)
        self.transport.close()
