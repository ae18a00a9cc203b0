"""Use-cases of API keys: make one, recognise it, take it back; and when keys are asked for.

A key is `sv_` and 256 random bits. Only its SHA-256 is stored: with so much chance in it, a slow
hash would protect nothing that a fast one does not, and each request would pay for it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.api_keys import ApiKeyCreate, Scope
from api_schemas.ids import new_id
from api_schemas.problems import (
    FieldProblem,
    Forbidden,
    NotFound,
    Unauthenticated,
    ValidationProblem,
)
from domain.settings import Settings
from storage.catalog import api_keys
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import ApiKeyRow

PREFIX: Final = "sv_"
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
SECRET_BYTES: Final = 32
HINT_LENGTH: Final = 9
MAX_LIFE_SECONDS: Final = 100 * 365.25 * 86400
CREATE_COMMAND: Final = "selvage keys create NAME --scope admin"

_FORM: Final = re.compile(r"sv_[A-Za-z0-9_-]{43}")
_INCLUDED: Final = {"write": ("read",), "admin": SCOPES}


class KeysNeeded(Exception):
    """The settings would leave the service open to other machines; the message says what to do."""


def included(scopes: Iterable[str]) -> frozenset[str]:
    """Return scopes with all that they include."""
    found = set(scopes)
    for scope in list(found):
        found.update(_INCLUDED.get(scope, ()))
    return frozenset(found)


def create(
    session: Session,
    request: ApiKeyCreate,
    *,
    created_by: str,
    may_grant: frozenset[str] = frozenset(SCOPES),
) -> tuple[ApiKeyRow, str]:
    """Insert a key; return its row and the key itself, which nobody can find out later.

    Raises:
        Forbidden: it would have scopes beyond `may_grant`.
        ValidationProblem: `expires_at` has passed, or is absurdly late.
    """
    beyond = sorted(included(request.scopes) - may_grant)
    if beyond:
        raise Forbidden(
            f"Your key does not have the scope {', '.join(beyond)}, so it cannot grant it. "
            "Ask for fewer scopes, or use a key that has them."
        )
    now = session.scalar(select(db_now())) or 0.0
    expires_at = None if request.expires_at is None else request.expires_at.timestamp()
    if expires_at is not None and not now < expires_at < now + MAX_LIFE_SECONDS:
        raise ValidationProblem(
            "expires_at must lie in the future, within 100 years. Leave it out for a key that "
            "does not expire.",
            errors=[FieldProblem(pointer="/expires_at", detail="in the past, or too far ahead")],
        )
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = ApiKeyRow(
        id=new_id("key"),
        name=request.name,
        hint=secret[:HINT_LENGTH],
        secret_sha256=_hash(secret),
        scopes=[scope for scope in SCOPES if scope in request.scopes],
        quota=request.quota.model_dump(exclude_none=True) if request.quota else None,
        created_at=now,
        created_by=created_by,
        expires_at=expires_at,
    )
    api_keys.add_key(session, row)
    return row, secret


def get_key(session: Session, key_id: str) -> ApiKeyRow:
    """Return a key.

    Raises:
        NotFound: with what to do.
    """
    row = api_keys.get_key(session, key_id)
    if row is None:
        raise NotFound(f"There is no API key '{key_id}'. List them: GET /v1/api-keys.")
    return row


def revoke(session: Session, key_id: str) -> None:
    """Take a key back for good; a second time changes nothing.

    Raises:
        NotFound: unknown key.
    """
    get_key(session, key_id)
    api_keys.revoke(session, key_id)


def authenticate(session: Session, secret: str) -> tuple[ApiKeyRow, bool]:
    """Return the row of a key, and whether its last use should be noted.

    Raises:
        Unauthenticated: no such key, or it is not valid any more.
    """
    if _FORM.fullmatch(secret) is None:
        raise Unauthenticated(
            "That is not an API key of this service: they begin with sv_ and have 46 characters."
        )
    wanted = _hash(secret)
    found = api_keys.find_by_hash(session, wanted)
    if found is None or not hmac.compare_digest(found[0].secret_sha256, wanted):
        raise Unauthenticated("This API key is not known here. Check that it is complete.")
    return check(*found)


def check(row: ApiKeyRow, now: float) -> tuple[ApiKeyRow, bool]:
    """Return the row, and whether its last use should be noted.

    Raises:
        Unauthenticated: the key is not valid any more.
    """
    if row.revoked_at is not None:
        raise Unauthenticated(f"The API key {row.id} was revoked. Ask for a new one.")
    if row.expires_at is not None and row.expires_at <= now:
        raise Unauthenticated(f"The API key {row.id} has expired. Ask for a new one.")
    is_stale = row.last_used_at is None or row.last_used_at < now - api_keys.TOUCH_SECONDS
    return row, is_stale


def status_of(row: ApiKeyRow, now: float) -> str:
    """Return active, expired or revoked."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "active"


def document_of(row: ApiKeyRow, now: float) -> dict[str, Any]:
    """Return the fields of an `ApiKey`."""

    def time_of(seconds: float | None) -> datetime | None:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "scopes": row.scopes,
        "quota": row.quota,
        "status": status_of(row, now),
        "created_at": time_of(row.created_at),
        "created_by": row.created_by,
        "expires_at": time_of(row.expires_at),
        "revoked_at": time_of(row.revoked_at),
        "last_used_at": time_of(row.last_used_at),
        "links": {"self": f"/v1/api-keys/{row.id}"},
    }


def refuse_open_service(settings: Settings, catalog: Catalog) -> None:
    """Check before the API listens that other machines do not get in without a key.

    Raises:
        KeysNeeded: the address is not loopback, and no key exists or none is asked for.
    """
    if settings.is_loopback:
        return
    reached = f"SELVAGE_HOST={settings.host} can be reached from other machines"
    if settings.require_keys == "never":
        raise KeysNeeded(
            f"{reached}, and SELVAGE_REQUIRE_KEYS=never would let all of them in. Leave it out, or "
            "listen on 127.0.0.1."
        )
    with catalog.read() as session:
        if not api_keys.any_unrevoked(session):
            raise KeysNeeded(
                f"{reached}, and there is no API key yet. Make one with\n"
                f"    {CREATE_COMMAND}\n"
                "(it is shown once), then start again; or listen on 127.0.0.1."
            )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
