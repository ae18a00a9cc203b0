"""The parser of HTTP/1.1: what is no HTTP at all is answered like everything else, by a problem."""

from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api_schemas.problems import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_BASE, Problem

MAX_HEAD_BYTES: Final = 256 * 2**10  # the envelope refuses less in better words


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with its own answer in our words, and an end to endless headers."""

    _is_in_head = True
    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_answer(431, "headers-too-large", "The headers are too large."))
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        detail = "This is not a valid HTTP/1.1 request, or its first line is far too long."
        self.transport.write(_answer(400, "bad-request", detail))
        self.transport.close()


def _answer(status: int, code: str, detail: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    problem = Problem(
        type=PROBLEM_TYPE_BASE + code, title=phrase, status=status, detail=detail, code=code
    )
    body = problem.model_dump_json(exclude_none=True).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\n"
        f"content-type: {PROBLEM_MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\n"
        "x-content-type-options: nosniff\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
