"""The server of the API process: uvicorn that first ends the streams when it has to stop."""

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from domain import tracing
from service.http_protocol import ProblemProtocol


class Server(uvicorn.Server):
    """Streams never end by themselves; without this, stopping would wait for them in vain."""

    def __init__(self, app: FastAPI, **options: Any) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, http=ProblemProtocol, ws="none", **options
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams and waits, then do what uvicorn does, and send the last spans."""
        hub = getattr(self._app.state, "event_hub", None)
        if hub is not None:
            hub.end_all()
        await super().shutdown(sockets)
        await asyncio.to_thread(tracing.shut_down)  # the signal is raised again after this
