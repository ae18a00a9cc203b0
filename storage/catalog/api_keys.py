"""API keys: found by the hash of their secret, never deleted, so that `created_by` keeps a name."""

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import ApiKeyRow

TOUCH_SECONDS = 60.0


def add_key(session: Session, row: ApiKeyRow) -> None:
    session.add(row)
    session.flush()


def get_key(session: Session, key_id: str) -> ApiKeyRow | None:
    return session.get(ApiKeyRow, key_id)


def list_keys(session: Session, after: str | None, limit: int) -> list[ApiKeyRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.id.desc()).limit(limit)
    if after:
        query = query.where(ApiKeyRow.id < after)
    return list(session.scalars(query))


def find_by_hash(session: Session, secret_sha256: str) -> tuple[ApiKeyRow, float] | None:
    """Return the key with this hash and the time of the database, in one question."""
    query = select(ApiKeyRow, db_now()).where(ApiKeyRow.secret_sha256 == secret_sha256)
    found = session.execute(query).first()
    return None if found is None else (found[0], found[1])


def any_unrevoked(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(ApiKeyRow.revoked_at.is_(None)))))


def revoke(session: Session, key_id: str) -> None:
    """Take a key back; a second time changes nothing."""
    session.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=db_now())
    )


def touch(session: Session, key_id: str) -> None:
    """Note that a key was used; at most once a minute, whoever asks."""
    fresh = db_now() - TOUCH_SECONDS
    session.execute(
        update(ApiKeyRow)
        .where(
            ApiKeyRow.id == key_id,
            ApiKeyRow.last_used_at.is_(None) | (ApiKeyRow.last_used_at < fresh),
        )
        .values(last_used_at=db_now())
    )
