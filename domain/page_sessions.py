"""Sessions of the web pages: a browser shows a key once, and a cookie from then on.

The cookie is 256 random bits, kept as SHA-256 like the keys themselves; what it may do is what the
key may do at that moment, so a key that is revoked ends its sessions.
"""

import hashlib
import re
import secrets
from typing import Final

from sqlalchemy.orm import Session

from api_schemas.problems import Unauthenticated
from domain import api_keys
from storage.catalog import page_sessions
from storage.catalog.tables import ApiKeyRow

LIFE_SECONDS: Final = 12 * 3600.0
_TOKEN_BYTES: Final = 32
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def sign_in(session: Session, secret: str) -> str:
    """Begin a session with a key; return its cookie.

    Raises:
        Unauthenticated: no such key, or it is not valid any more.
    """
    key, _ = api_keys.authenticate(session, secret)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    page_sessions.add_session(session, _hash(token), key.id, LIFE_SECONDS)
    return token


def key_of(session: Session, token: str) -> tuple[ApiKeyRow, bool]:
    """Return the key of a session, and whether its last use should be noted.

    Raises:
        Unauthenticated: the session has ended, or the key is not valid any more.
    """
    found = page_sessions.find_key(session, _hash(token)) if _FORM.fullmatch(token) else None
    if found is None:
        raise Unauthenticated("The session has ended. Sign in again.")
    return api_keys.check(*found)


def sign_out(session: Session, token: str) -> None:
    """End a session; one that is unknown is over already."""
    page_sessions.end_session(session, _hash(token))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
