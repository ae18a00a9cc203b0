"""A bound on how long a request body may take: clients that stall hold no connection for ever."""

import asyncio
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SLOWEST_BYTES_PER_SECOND: Final = 4096


class BodyPace:
    """ASGI middleware: answers 408 when a body stops coming, or comes far too slowly.

    Only the time is counted in which the service waits for the client, so that a slow disk here is
    not held against anybody. Once the body is there, nothing is timed: streams of events go on.
    """

    def __init__(self, app: ASGIApp, *, idle_seconds: float) -> None:
        self._app = app
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, _paced(receive, self._idle_seconds), send)


def _paced(receive: Receive, idle_seconds: float) -> Receive:
    waited_seconds, received, ended = 0.0, 0, False

    async def paced() -> Message:
        nonlocal waited_seconds, received, ended
        if ended:
            return await receive()
        left = 2 * idle_seconds + received / SLOWEST_BYTES_PER_SECOND - waited_seconds
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(idle_seconds, max(0.0, left))):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, headers={"Connection": "close"}) from error
        waited_seconds += time.monotonic() - started
        received += len(message.get("body", b""))
        ended = not message.get("more_body", False)
        return message

    return paced
