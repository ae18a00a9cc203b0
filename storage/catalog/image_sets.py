"""Image sets, their entries and the images behind them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import LOCAL, ImageRow, ImageSetEntryRow, ImageSetRow
from storage.catalog.upsert import insert_all_new

BATCH_ROWS = 500


def add_image_set(
    session: Session,
    image_set_id: str,
    name: str | None,
    created_by: str = LOCAL,
    source: dict[str, Any] | None = None,
) -> None:
    """Insert an empty image set that is still receiving files."""
    session.add(
        ImageSetRow(
            id=image_set_id,
            name=name,
            status="receiving",
            source=source,
            created_at=db_now(),
            created_by=created_by,
            touched_at=db_now(),
        )
    )
    session.flush()


def get_image_set(session: Session, image_set_id: str) -> ImageSetRow | None:
    return session.get(ImageSetRow, image_set_id)


def list_image_sets(session: Session, after: str | None, limit: int) -> list[ImageSetRow]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(ImageSetRow).order_by(ImageSetRow.id.desc()).limit(limit)
    query = query.where(ImageSetRow.deleted_at.is_(None))
    if after:
        query = query.where(ImageSetRow.id < after)
    return list(session.scalars(query))


def add_images(session: Session, rows: Iterable[dict[str, Any]]) -> None:
    """Insert images that are not known yet; `created_at` is filled in.

    In the order of their digests: uploads that share images must not wait for each other in turn.
    """
    ordered = sorted(rows, key=lambda row: str(row["digest"]))
    if ordered:
        insert_all_new(session, ImageRow, ordered, ["digest"], {"created_at": db_now()})


def add_entries(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert entries; all rows have the same keys."""
    if rows:
        session.execute(insert(ImageSetEntryRow), rows)


def grow(
    session: Session, image_set_id: str, *, accepted: int, duplicate: int, rejected: int
) -> None:
    """Count new entries, and note that somebody still works on the set."""
    session.execute(
        update(ImageSetRow)
        .where(ImageSetRow.id == image_set_id)
        .values(
            accepted=ImageSetRow.accepted + accepted,
            duplicate=ImageSetRow.duplicate + duplicate,
            rejected=ImageSetRow.rejected + rejected,
            touched_at=db_now(),
        )
    )


def make_ready(session: Session, image_set_id: str) -> None:
    """Close an image set: its files are all there and do not change any more."""
    _end(session, image_set_id, status="ready")


def make_failed(session: Session, image_set_id: str, problem: dict[str, Any]) -> bool:
    """Close an image set that cannot be used, and say why; False if it was closed before."""
    return _end(session, image_set_id, status="failed", problem=problem)


def _end(session: Session, image_set_id: str, **values: Any) -> bool:
    result: Any = session.execute(
        update(ImageSetRow)
        .where(ImageSetRow.id == image_set_id, ImageSetRow.status == "receiving")
        .values(**values)
    )
    return bool(result.rowcount)


def taken_names(session: Session, image_set_id: str, keys: Collection[str]) -> set[str]:
    """Return which of some names (by key) a set has already."""
    query = select(ImageSetEntryRow.name_key).where(
        ImageSetEntryRow.image_set_id == image_set_id, ImageSetEntryRow.name_key.in_(keys)
    )
    return {key for key in session.scalars(query) if key is not None}


def first_names(session: Session, image_set_id: str, digests: Collection[str]) -> dict[str, str]:
    """Return image digest → external id of the first file of a set with that content."""
    query = select(ImageSetEntryRow.image_digest, ImageSetEntryRow.external_id).where(
        ImageSetEntryRow.image_set_id == image_set_id,
        ImageSetEntryRow.image_digest.in_(digests),
        ImageSetEntryRow.status == "accepted",
    )
    return {row.image_digest: row.external_id for row in session.execute(query)}


def delete_some_entries(session: Session, image_set_id: str) -> int:
    """Delete a batch of the entries of a set; returns how many."""
    batch = (
        select(ImageSetEntryRow.position)
        .where(ImageSetEntryRow.image_set_id == image_set_id)
        .order_by(ImageSetEntryRow.position)
        .limit(BATCH_ROWS)
    )
    result: Any = session.execute(
        delete(ImageSetEntryRow).where(
            ImageSetEntryRow.image_set_id == image_set_id, ImageSetEntryRow.position.in_(batch)
        )
    )
    return int(result.rowcount)


def delete_image_set(session: Session, image_set_id: str) -> None:
    session.execute(delete(ImageSetRow).where(ImageSetRow.id == image_set_id))


def list_entries(
    session: Session,
    image_set_id: str,
    *,
    after_position: int = -1,
    limit: int = BATCH_ROWS,
    status: str | None = None,
    where: Sequence[ColumnElement[bool]] = (),
) -> list[ImageSetEntryRow]:
    """Entries in the order of their upload."""
    query = (
        select(ImageSetEntryRow)
        .where(
            ImageSetEntryRow.image_set_id == image_set_id,
            ImageSetEntryRow.position > after_position,
            *where,
        )
        .order_by(ImageSetEntryRow.position)
        .limit(limit)
    )
    if status:
        query = query.where(ImageSetEntryRow.status == status)
    return list(session.scalars(query))


def names_of(session: Session, image_set_ids: Collection[str | None]) -> dict[str, str]:
    """Return id → name of the image sets that have one."""
    query = select(ImageSetRow.id, ImageSetRow.name).where(
        ImageSetRow.id.in_([one for one in image_set_ids if one]), ImageSetRow.name.is_not(None)
    )
    return {row.id: row.name for row in session.execute(query)}


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
