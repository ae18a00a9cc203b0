"""An answer that goes on: server-sent events until the end, or until the client is gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(Response):
    """Sends the parts of a generator as they come, and gives everything back whatever happens.

    Args:
        parts: what to send; it ends by itself soon after `hang_up` was called.
        held: what is given back at the end.
        hang_up: called when the client has gone.
        send_seconds: a client that takes nothing for so long is dropped.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        *,
        held: contextlib.AsyncExitStack,
        hang_up: Callable[[], None],
        send_seconds: float,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._parts = parts
        self._held = held
        self._hang_up = hang_up
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything; a client that stopped reading just loses its connection."""
        watcher = asyncio.create_task(self._watch(receive))
        try:
            async with self._held, contextlib.aclosing(self._parts) as parts:
                await self._send(parts, send)
        except TimeoutError:
            return
        finally:
            watcher.cancel()

    async def _send(self, parts: AsyncGenerator[bytes, None], send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for part in parts:
            async with asyncio.timeout(self._send_seconds):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._hang_up()
