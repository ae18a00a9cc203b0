"""The application behind a real server, for answers that go on and clients that leave."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from ops.ports import find_free
from service.event_hub import EventHub
from service.server import Server
from service.state import ServiceState
from tests.support.applications import application
from tests.support.installation import Installation


@dataclass
class LiveServer:
    url: str
    server: Server
    hub: EventHub

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20, trust_env=False, **options)

    def stop(self) -> None:
        """Ask it to stop, as a signal would."""
        self.server.should_exit = True


@contextmanager
def live_server(site: Installation, **settings_changes: Any) -> Iterator[LiveServer]:
    """Serve an installation over a socket."""
    settings = site.settings.model_copy(update=settings_changes)
    state = ServiceState(settings, site.catalog, site.objects, site.queue)
    port = find_free("127.0.0.1")
    with application(settings, state) as app:
        server = Server(app, host="127.0.0.1", port=port, timeout_graceful_shutdown=5)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until, "the server does not start"
            time.sleep(0.02)
        live = LiveServer(f"http://127.0.0.1:{port}", server, app.state.event_hub)
        try:
            yield live
        finally:
            live.stop()
            thread.join(timeout=20)
            assert not thread.is_alive(), "the server does not stop"
