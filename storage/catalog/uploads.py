"""Resumable uploads and their parts."""

from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import UploadPartRow, UploadRow
from storage.catalog.upsert import insert_new

OPEN_STATUSES = ("open", "completing")


def add_upload(session: Session, row: UploadRow, *, lifetime_seconds: float) -> UploadRow:
    """Insert an upload; its times are the database's."""
    now = session.scalar(select(db_now())) or 0.0
    row.created_at, row.expires_at = now, now + lifetime_seconds
    session.add(row)
    session.flush()
    return row


def get_upload(session: Session, upload_id: str, *, lock: bool = False) -> UploadRow | None:
    return session.get(UploadRow, upload_id, with_for_update=lock, populate_existing=lock)


def list_uploads(
    session: Session, after: str | None, limit: int, status: str | None = None
) -> list[UploadRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(UploadRow).order_by(UploadRow.id.desc()).limit(limit)
    if after:
        query = query.where(UploadRow.id < after)
    if status:
        query = query.where(UploadRow.status == status)
    return list(session.scalars(query))


def count_open(session: Session) -> int:
    query = select(func.count()).where(UploadRow.status.in_(OPEN_STATUSES))
    return session.scalar(query) or 0


def keep_until(session: Session, upload_id: str, seconds: float) -> None:
    """Let an upload live at least `seconds` from now."""
    session.execute(
        update(UploadRow)
        .where(UploadRow.id == upload_id, UploadRow.expires_at < db_now() + seconds)
        .values(expires_at=db_now() + seconds)
    )


def expired(session: Session, limit: int) -> list[UploadRow]:
    """Uploads whose time is over, the longest first."""
    query = (
        select(UploadRow)
        .where(UploadRow.expires_at < db_now())
        .order_by(UploadRow.expires_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def delete_upload(session: Session, upload_id: str) -> None:
    """Delete an upload with its parts."""
    session.execute(delete(UploadPartRow).where(UploadPartRow.upload_id == upload_id))
    session.execute(delete(UploadRow).where(UploadRow.id == upload_id))


def get_part(session: Session, upload_id: str, number: int) -> UploadPartRow | None:
    return session.get(UploadPartRow, (upload_id, number))


def set_part(session: Session, upload_id: str, number: int, values: dict[str, Any]) -> None:
    """Insert a part, or replace the one of this number."""
    key = {"upload_id": upload_id, "number": number}
    row = {**values, "created_at": db_now()}
    if not insert_new(session, UploadPartRow, key | row, ["upload_id", "number"]):
        session.execute(
            update(UploadPartRow)
            .where(UploadPartRow.upload_id == upload_id, UploadPartRow.number == number)
            .values(**row)
        )


def list_parts(
    session: Session, upload_id: str, *, after_number: int = 0, limit: int
) -> list[UploadPartRow]:
    """Stored parts by number."""
    query = (
        select(UploadPartRow)
        .where(UploadPartRow.upload_id == upload_id, UploadPartRow.number > after_number)
        .order_by(UploadPartRow.number)
        .limit(limit)
    )
    return list(session.scalars(query))


def drop_parts(session: Session, upload_id: str) -> None:
    session.execute(delete(UploadPartRow).where(UploadPartRow.upload_id == upload_id))
