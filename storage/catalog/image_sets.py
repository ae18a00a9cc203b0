"""Image sets, their entries and the images behind them."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import LOCAL, ImageRow, ImageSetEntryRow, ImageSetRow
from storage.catalog.upsert import insert_new

BATCH_ROWS = 500


def add_image_set(
    session: Session, image_set_id: str, name: str | None, created_by: str = LOCAL
) -> None:
    """Insert an empty image set that is still receiving files."""
    session.add(
        ImageSetRow(
            id=image_set_id,
            name=name,
            status="receiving",
            created_at=db_now(),
            created_by=created_by,
        )
    )


def get_image_set(session: Session, image_set_id: str) -> ImageSetRow | None:
    return session.get(ImageSetRow, image_set_id)


def list_image_sets(session: Session, after: str | None, limit: int) -> list[ImageSetRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(ImageSetRow).order_by(ImageSetRow.id.desc()).limit(limit)
    if after:
        query = query.where(ImageSetRow.id < after)
    return list(session.scalars(query))


def add_images(session: Session, rows: Iterable[dict[str, Any]]) -> None:
    """Insert images that are not known yet; `created_at` is filled in.

    In the order of their digests: uploads that share images must not wait for each other in turn.
    """
    for row in sorted(rows, key=lambda row: str(row["digest"])):
        insert_new(session, ImageRow, {**row, "created_at": db_now()}, key=["digest"])


def add_entries(session: Session, entries: list[ImageSetEntryRow]) -> None:
    session.add_all(entries)


def make_ready(
    session: Session, image_set_id: str, *, accepted: int, duplicate: int, rejected: int
) -> None:
    """Close an image set: its files are all there and do not change any more."""
    session.execute(
        update(ImageSetRow)
        .where(ImageSetRow.id == image_set_id)
        .values(status="ready", accepted=accepted, duplicate=duplicate, rejected=rejected)
    )


def list_entries(
    session: Session,
    image_set_id: str,
    *,
    after_position: int = -1,
    limit: int = BATCH_ROWS,
    status: str | None = None,
) -> list[ImageSetEntryRow]:
    """Entries in the order of their upload."""
    query = (
        select(ImageSetEntryRow)
        .where(
            ImageSetEntryRow.image_set_id == image_set_id,
            ImageSetEntryRow.position > after_position,
        )
        .order_by(ImageSetEntryRow.position)
        .limit(limit)
    )
    if status:
        query = query.where(ImageSetEntryRow.status == status)
    return list(session.scalars(query))


def iterate_digests(session: Session, image_set_id: str) -> Iterator[tuple[int, str]]:
    """Yield (position, image digest) of each distinct image, at its first position."""
    query = (
        select(ImageSetEntryRow.position, ImageSetEntryRow.image_digest)
        .where(ImageSetEntryRow.image_set_id == image_set_id, ImageSetEntryRow.status == "accepted")
        .order_by(ImageSetEntryRow.position)
    )
    for row in session.execute(query).yield_per(2000):
        yield row.position, row.image_digest or ""


def images_of_entries(session: Session, image_set_id: str) -> dict[str, str]:
    """Return external id → image digest of all usable entries (for matching annotations)."""
    query = select(ImageSetEntryRow.external_id, ImageSetEntryRow.image_digest).where(
        ImageSetEntryRow.image_set_id == image_set_id, ImageSetEntryRow.image_digest.is_not(None)
    )
    return {external_id: digest for external_id, digest in session.execute(query) if digest}


def get_image(session: Session, digest: str) -> ImageRow | None:
    return session.get(ImageRow, digest)


def get_images(session: Session, digests: list[str]) -> dict[str, ImageRow]:
    """Return the images by digest."""
    rows = session.scalars(select(ImageRow).where(ImageRow.digest.in_(digests)))
    return {row.digest: row for row in rows}
