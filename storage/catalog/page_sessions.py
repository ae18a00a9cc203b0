"""Browsers that signed in: found by the hash of their cookie."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import ApiKeyRow, PageSessionRow


def add_session(session: Session, token_sha256: str, key_id: str, seconds: float) -> None:
    """Insert a session that ends by itself, and delete those that have ended."""
    session.execute(delete(PageSessionRow).where(PageSessionRow.expires_at <= db_now()))
    session.add(
        PageSessionRow(
            token_sha256=token_sha256,
            key_id=key_id,
            created_at=db_now(),
            expires_at=db_now() + seconds,
        )
    )
    session.flush()


def find_key(session: Session, token_sha256: str) -> tuple[ApiKeyRow, float] | None:
    """Return the key of a session that goes on and the time of the database, in one question."""
    query = (
        select(ApiKeyRow, db_now())
        .join(PageSessionRow, PageSessionRow.key_id == ApiKeyRow.id)
        .where(PageSessionRow.token_sha256 == token_sha256, PageSessionRow.expires_at > db_now())
    )
    found = session.execute(query).first()
    return None if found is None else (found[0], found[1])


def end_session(session: Session, token_sha256: str) -> None:
    session.execute(delete(PageSessionRow).where(PageSessionRow.token_sha256 == token_sha256))
