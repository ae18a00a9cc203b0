"""A proxy in front of an HTTP server that does to connections what bad networks do."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
ERROR_BODY = b"<Error><Code>InternalError</Code><Message>/srv/data/secret path</Message></Error>"


@dataclass
class Faults:
    """What happens to the next connections; change it at any time.

    Attributes:
        answer_500: every request is answered with a server error.
        refuse: connections are closed before a byte is read.
        delay_seconds: before each piece of an answer.
        silent: requests are read and never answered.
        cut_answer_after_bytes: the connection breaks in the middle of the answer.
        cut_request_after_bytes: the connection breaks in the middle of the request.
        only: faults concern only requests that start with one of these words, such as `PUT`.
    """

    answer_500: bool = False
    refuse: bool = False
    delay_seconds: float = 0.0
    silent: bool = False
    cut_answer_after_bytes: int | None = None
    cut_request_after_bytes: int | None = None
    only: tuple[str, ...] = ()
    requests: list[str] = field(default_factory=list)

    def mend(self) -> None:
        """From now on, let everything pass."""
        self.answer_500 = self.refuse = self.silent = False
        self.delay_seconds = 0.0
        self.cut_answer_after_bytes = self.cut_request_after_bytes = None


@dataclass
class FaultyProxy:
    url: str
    faults: Faults


@contextmanager
def faulty_proxy(target_url: str) -> Iterator[FaultyProxy]:
    """Forward to `target_url`, one request a connection, with faults."""
    target = urlsplit(target_url)
    assert target.hostname is not None
    assert target.port is not None
    listener = socket.create_server(("127.0.0.1", 0))
    faults = Faults()
    address = (target.hostname, target.port)
    thread = threading.Thread(target=_serve, args=(listener, address, faults), daemon=True)
    thread.start()
    try:
        yield FaultyProxy(f"http://127.0.0.1:{listener.getsockname()[1]}", faults)
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()
        thread.join(5)


def _serve(listener: socket.socket, target: tuple[str, int], faults: Faults) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # closed: the test is over
            return
        threading.Thread(target=_handle, args=(client, target, faults), daemon=True).start()


def _handle(client: socket.socket, target: tuple[str, int], faults: Faults) -> None:
    with client, suppress(OSError):
        client.settimeout(60)
        if faults.refuse and not faults.only:
            return
        head = _read_head(client)
        if not head:
            return
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        faults.requests.append(line)
        harmed = not faults.only or line.startswith(faults.only)
        if harmed and faults.refuse:
            return
        if harmed and faults.silent:
            time.sleep(30)
            return
        if harmed and faults.answer_500:
            _answer_500(client, head)
            return
        with socket.create_connection(target, timeout=60) as server:
            _forward(client, server, head, faults if harmed else Faults())


def _forward(client: socket.socket, server: socket.socket, head: bytes, faults: Faults) -> None:
    """One request and one answer; the server is told to close, so that the end is seen."""
    first, _, rest = head.partition(b"\r\n")
    headers, _, body = rest.partition(b"\r\n\r\n")
    kept = [h for h in headers.split(b"\r\n") if not h.lower().startswith(b"connection:")]
    server.sendall(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]))
    left = _content_length(headers) - len(body)
    sent = len(body)
    server.sendall(body)
    while left > 0:
        if faults.cut_request_after_bytes is not None and sent >= faults.cut_request_after_bytes:
            return
        piece = client.recv(min(left, CHUNK_BYTES))
        if not piece:
            return
        server.sendall(piece)
        left -= len(piece)
        sent += len(piece)
    allowed = faults.cut_answer_after_bytes
    while piece := server.recv(CHUNK_BYTES):
        time.sleep(faults.delay_seconds)
        if allowed is not None:
            piece, allowed = piece[:allowed], allowed - len(piece)
        client.sendall(piece)
        if allowed is not None and allowed <= 0:
            return


def _answer_500(client: socket.socket, head: bytes) -> None:
    body_bytes = len(head.partition(b"\r\n\r\n")[2])
    left = _content_length(head) - body_bytes
    while left > 0 and (piece := client.recv(min(left, CHUNK_BYTES))):
        left -= len(piece)
    client.sendall(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(ERROR_BODY) + ERROR_BODY
    )


def _read_head(client: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(CHUNK_BYTES)
        if not piece:
            return b""
        data += piece
    return data


def _content_length(headers: bytes) -> int:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
