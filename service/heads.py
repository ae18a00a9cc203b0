"""HEAD: what GET would answer, without the body."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware: runs the GET endpoint and stops it once its headers are out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        is_sent = False

        async def headers_only(message: Message) -> None:
            nonlocal is_sent
            if is_sent:
                raise ClientDisconnect  # an endless stream ends here
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                is_sent = True

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, headers_only)
        except ClientDisconnect:
            if not is_sent:
                raise
        finally:
            scope.update({k: as_get[k] for k in ("route", "path_params") if k in as_get})
