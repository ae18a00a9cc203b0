"""The API behind a real server and a real socket: for what an HTTP client would not send."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from service.server import Server
from service.state import ServiceState
from tests.support.applications import application
from tests.support.installation import Installation


@dataclass
class WireAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """Speaks to the server byte by byte if need be."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> WireAnswer:
        """Send `target` as it stands: nothing is encoded or tidied up."""
        connection = self._connection or http.client.HTTPConnection("127.0.0.1", self.port, 30)
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        data = answer.read()
        self._connection = None if found.get("connection") == "close" else connection
        if self._connection is None:
            connection.close()
        return WireAnswer(answer.status, found, data)

    def raw(self, data: bytes, *, seconds: float = 10.0, hang_up: bool = False) -> bytes:
        """Send bytes and return all that comes back until the server closes, or `seconds` pass.

        With `hang_up` the sending side is closed, as if the client had died on the way.
        """
        with socket.create_connection(("127.0.0.1", self.port), seconds) as connection:
            connection.settimeout(seconds)
            received = b""
            try:
                connection.sendall(data)
                if hang_up:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    received += piece
            except (ConnectionError, TimeoutError):
                pass
            return received

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def wire_to(site: Installation) -> Iterator[Wire]:
    """Run a server on a free port for the time of the block."""
    state = ServiceState(site.settings, site.catalog, site.objects, site.queue)
    with (
        application(site.settings, state) as app,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        server = Server(app, timeout_graceful_shutdown=2)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        wire = Wire(listening.getsockname()[1])
        try:
            yield wire
        finally:
            wire.close()
            server.should_exit = True
            thread.join(20)
