"""A small web server in a thread, whose pages may be as rude as a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class WebServer:
    """A running server; `seen` holds path and headers of every GET, `posted` those of every
    POST with its body."""

    url: str
    port: int
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    posted: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """One request. A page of bytes is answered with 200, a callable gets this handler."""

    protocol_version = "HTTP/1.1"
    routes: dict[str, Any]
    web: WebServer

    def do_GET(self) -> None:  # noqa: N802 - the name is the library's
        self.web.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        page = self.routes.get(self.path, self.routes.get(self.path.partition("?")[0]))
        if page is None:
            self.answer(404)
        elif callable(page):
            page(self)
        else:
            self.answer(200, page)

    def do_POST(self) -> None:  # noqa: N802 - the name is the library's
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k.lower(): v for k, v in self.headers.items()}
        self.web.posted.append((self.path, headers, body))
        page = self.routes.get(self.path)
        if callable(page):
            page(self)
        else:
            self.answer(404 if page is None else 201, page or b"")

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; `content_type="…"` becomes a header."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def redirect(location: str, status: int = 302) -> Callable[[Handler], None]:
    """A page that leads elsewhere."""
    return lambda handler: handler.answer(status, location=location)


def raw(*pieces: bytes) -> Callable[[Handler], None]:
    """A page that writes these bytes in place of an answer, and hangs up."""

    def page(handler: Handler) -> None:
        handler.close_connection = True
        for piece in pieces:
            handler.wfile.write(piece)

    return page


@contextmanager
def serve(routes: dict[str, Any]) -> Iterator[WebServer]:
    """Serve `routes` (path → bytes, or a callable) on a free port of 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    web = WebServer(f"http://127.0.0.1:{server.server_port}", server.server_port)
    server.RequestHandlerClass = type("Bound", (Handler,), {"routes": routes, "web": web})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
