"""A receiver of webhooks: a real web server whose answers a test writes in advance."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = int | Callable[["_Handler"], None]


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are given in turn, the last one for ever; `seen` holds every request."""

    url: str
    port: int
    answers: list[Answer]
    seen: list[Received] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def wait(self, n: int, seconds: float = 20.0) -> list[Received]:
        """Wait for `n` requests."""
        until = time.monotonic() + seconds
        while len(self.seen) < n:
            assert time.monotonic() < until, f"{len(self.seen)} of {n} requests came"
            time.sleep(0.02)
        return self.seen


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:  # noqa: N802 - the name is the library's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {k.lower(): v for k, v in self.headers.items()}
        answers = self.receiver.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.receiver.seen.append(Received(self.path, headers, body))
        if callable(answer):
            answer(self)
        else:
            self.reply(answer, b"noted")

    do_GET = do_POST  # noqa: N815 - what a followed redirect would ask

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; `retry_after="…"` becomes a header."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def hang(handler: Any) -> None:
    """Answer nothing until the test is over."""
    handler.close_connection = True
    handler.receiver.stopping.wait(30)


def drip(handler: Any) -> None:
    """Send a byte of a header now and then, so that no single wait is long."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.receiver.stopping.wait(0.05):
        try:
            handler.wfile.write(b"y")
        except OSError:
            return


def flood(handler: Any) -> None:
    """Answer 200 with a body that does not end."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while not handler.receiver.stopping.is_set():
        try:
            handler.wfile.write(b"z" * 65536)
        except OSError:
            return


def redirect(location: str, status: int = 302) -> Callable[[Any], None]:
    """An answer that leads elsewhere."""
    return lambda handler: handler.reply(status, location=location)


@contextmanager
def receive(*answers: Answer) -> Iterator[Receiver]:
    """Listen on a free port of 127.0.0.1; without answers every request gets 200."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    port = server.server_port
    receiver = Receiver(f"http://127.0.0.1:{port}", port, list(answers) or [200])
    server.RequestHandlerClass = type("Bound", (_Handler,), {"receiver": receiver})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
