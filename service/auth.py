"""Authentication: before a byte of the body is read, who asks, and may they?"""

import base64
import binascii
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api_schemas.problems import Forbidden, Unauthenticated
from domain import api_keys, page_sessions
from service.access import BASIC_PATHS, METRICS_PATH, SAFE_METHODS, scope_needed
from service.principals import LOCAL_PRINCIPAL, Principal
from service.problems import CATALOG_ERRORS
from service.state import ServiceState
from storage.catalog.api_keys import touch
from storage.catalog.tables import ApiKeyRow

log = structlog.get_logger("service")

SESSION_COOKIE: Final = "selvage_session"
_REALM: Final = 'realm="selvage"'


class Authentication:
    """ASGI middleware: puts the principal into the request's state, or refuses the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: ServiceState = scope["app"].state.selvage
        unnoted_use = await _admit(scope, state)
        await self._app(scope, receive, send)
        if unnoted_use is not None:  # after the answer: nobody waits for it
            await run_in_threadpool(_note_use, state, unnoted_use)


async def _admit(scope: Scope, state: ServiceState) -> str | None:
    """Set the principal; return the id of a key whose use is to be noted.

    Raises:
        Unauthenticated: no key, or none that is valid.
        Forbidden: the key does not have the scope; or a foreign web page asks.
    """
    method, path = scope["method"], scope["path"]
    needed = scope_needed(method, path)
    if needed is None:
        return None
    headers = Headers(scope=scope)
    secret = _secret(headers, path)
    token = None if secret is not None else session_token(headers)
    if token is not None and await _is_key_needed(state, path):
        row, is_stale = await run_in_threadpool(_look_up_session, state, token)
        refuse_foreign_origin(headers, method)
        _let_in(scope, row, needed)
        return row.id if is_stale else None
    if secret is None:
        if await _is_key_needed(state, path):
            raise _no_key(path)
        _refuse_foreign_page(headers, method)
        scope["state"]["principal"] = LOCAL_PRINCIPAL
        return None
    try:
        row, is_stale = await run_in_threadpool(_look_up, state, secret)
    except Unauthenticated as error:
        raise Unauthenticated(error.detail, headers=_challenge(path, "invalid_token")) from None
    _let_in(scope, row, needed)
    return row.id if is_stale else None


def _let_in(scope: Scope, row: ApiKeyRow, needed: str) -> None:
    principal = Principal(row.id, row.name, api_keys.included(row.scopes))
    principal.require(needed)
    scope["state"]["principal"] = principal


def session_token(headers: Headers) -> str | None:
    """Return the cookie of a browser that signed in; None if there is none."""
    for cookie in headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == SESSION_COOKIE:
            return value
    return None


def _secret(headers: Headers, path: str) -> str | None:
    """Return the key that a request carries; None if it carries nothing that is meant for us."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value.startswith(api_keys.PREFIX):
        return value
    if scheme.lower() == "basic" and path.startswith(BASIC_PATHS):
        try:
            pair = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
        password = pair.partition(":")[2]
        return password if password.startswith(api_keys.PREFIX) else None
    return None


def are_keys_asked_for(state: ServiceState) -> bool:
    """Whether a request without a key is refused. Blocking, now and then."""
    known = state.keys.known(state.settings)
    return state.keys.look(state.catalog) if known is None else known


async def _is_key_needed(state: ServiceState, path: str) -> bool:
    if path == METRICS_PATH and state.settings.is_loopback:
        return False
    known = state.keys.known(state.settings)
    return known if known is not None else await run_in_threadpool(are_keys_asked_for, state)


def _look_up(state: ServiceState, secret: str) -> tuple[ApiKeyRow, bool]:
    with state.catalog.read() as session:
        return api_keys.authenticate(session, secret)


def _look_up_session(state: ServiceState, token: str) -> tuple[ApiKeyRow, bool]:
    with state.catalog.read() as session:
        return page_sessions.key_of(session, token)


def _note_use(state: ServiceState, key_id: str) -> None:
    try:
        with state.catalog.write() as session:
            touch(session, key_id)
    except CATALOG_ERRORS:  # not worth more than a line
        log.warning("the last use of a key was not noted", key=key_id)


def _no_key(path: str) -> Unauthenticated:
    return Unauthenticated(
        "Send an API key: `Authorization: Bearer sv_…`. An administrator makes one with "
        "`selvage keys create` or POST /v1/api-keys.",
        headers=_challenge(path),
    )


def _challenge(path: str, error: str | None = None) -> dict[str, str]:
    bearer = f"Bearer {_REALM}" + (f', error="{error}"' if error else "")
    basic = f"Basic {_REALM}, " if path.startswith(BASIC_PATHS) else ""
    return {"WWW-Authenticate": basic + bearer}


def _refuse_foreign_page(headers: Headers, method: str) -> None:
    """Without keys, any page that the user's browser shows could post to this machine."""
    if method not in SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
        raise Forbidden(
            "A web page of another site sent this, and the service asks for no keys. Make one with "
            "`selvage keys create`, and send it along."
        )


def refuse_foreign_origin(headers: Headers, method: str) -> None:
    """A cookie comes along by itself, so what it allows must be asked for by a page of ours.

    `SameSite=Strict` keeps it from other sites; this keeps it from other ports and names of one.

    Raises:
        Forbidden: the browser does not say that a page from here asks.
    """
    if method in SAFE_METHODS:
        return
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin", "")
    is_ours = site == "same-origin" if site else urlsplit(origin).netloc == headers.get("host")
    if not is_ours:
        raise Forbidden(
            "A signed-in browser sent this, but no page of this service asked for it. Open the "
            "service's own pages, or send an API key."
        )
