"""Stored answers of POSTs that carry an Idempotency-Key."""

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import IdempotencyRow
from storage.catalog.upsert import insert_new


def begin(
    session: Session, *, principal: str, key: str, fingerprint: str, owner: str, lock_seconds: float
) -> IdempotencyRow | None:
    """Claim a key. Returns None when it is ours now, else the row that stands in the way.

    A row whose first request died (lock run out, no answer) is taken over if its fingerprint
    is the same.
    """
    identity = {"principal": principal, "key": key}
    values = {
        **identity,
        "fingerprint": fingerprint,
        "owner": owner,
        "locked_until": db_now() + lock_seconds,
        "created_at": db_now(),
    }
    if insert_new(session, IdempotencyRow, values, key=["principal", "key"]):
        return None
    taken = session.execute(
        update(IdempotencyRow)
        .filter_by(**identity, fingerprint=fingerprint, status_code=None)
        .where(IdempotencyRow.locked_until < db_now())
        .values(owner=owner, locked_until=db_now() + lock_seconds)
        .returning(IdempotencyRow.key)
    )
    if taken.first() is not None:
        return None
    return session.scalar(select(IdempotencyRow).filter_by(**identity))


def renew(session: Session, *, principal: str, key: str, owner: str, lock_seconds: float) -> None:
    """Keep a key that is ours."""
    session.execute(
        update(IdempotencyRow)
        .filter_by(principal=principal, key=key, owner=owner)
        .values(locked_until=db_now() + lock_seconds)
    )


def complete(
    session: Session,
    *,
    principal: str,
    key: str,
    owner: str,
    status_code: int,
    location: str | None,
    body: str,
) -> bool:
    """Store the answer, in the transaction that creates the resource; False if taken over."""
    result = session.execute(
        update(IdempotencyRow)
        .filter_by(principal=principal, key=key, owner=owner, status_code=None)
        .values(status_code=status_code, location=location, body=body)
        .returning(IdempotencyRow.key)
    )
    return result.first() is not None


def abandon(session: Session, *, principal: str, key: str, owner: str) -> None:
    """Forget a key whose request failed, so that it can be tried again."""
    session.execute(
        delete(IdempotencyRow).filter_by(
            principal=principal, key=key, owner=owner, status_code=None
        )
    )


def remove_old(session: Session, hours: float, limit: int = 500) -> None:
    """Forget at most `limit` answers of that age; the sweep comes again within seconds."""
    key = tuple_(IdempotencyRow.principal, IdempotencyRow.key)
    old = (
        select(IdempotencyRow.principal, IdempotencyRow.key)
        .where(IdempotencyRow.created_at < db_now() - hours * 3600)
        .limit(limit)
    )
    session.execute(delete(IdempotencyRow).where(key.in_(old)))
