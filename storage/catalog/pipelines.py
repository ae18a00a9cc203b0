"""Named pipelines: names and version numbers for stored configurations."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import PipelineRow, PipelineVersionRow
from storage.catalog.upsert import insert_new

Named = tuple[PipelineVersionRow, PipelineRow]


def add_version(
    session: Session,
    name: str,
    version: int,
    digest: str,
    *,
    description: str | None,
    created_by: str,
) -> bool:
    """Insert a version unless its number is taken; returns whether it was free."""
    values = {
        "name": name,
        "version": version,
        "digest": digest,
        "description": description,
        "created_at": db_now(),
        "created_by": created_by,
    }
    return insert_new(session, PipelineVersionRow, values, key=["name", "version"])


def find_version(session: Session, name: str, version: int | None) -> Named | None:
    """A version with its configuration; the latest where `version` is None."""
    query = (
        select(PipelineVersionRow, PipelineRow)
        .join(PipelineRow, PipelineRow.digest == PipelineVersionRow.digest)
        .where(PipelineVersionRow.name == name)
        .order_by(PipelineVersionRow.version.desc())
        .limit(1)
    )
    if version is not None:
        query = query.where(PipelineVersionRow.version == version)
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1])


def list_latest(session: Session, after: str | None, limit: int) -> list[Named]:
    """The latest version of each name, by name; `after` is the last name seen."""
    latest = (
        select(PipelineVersionRow.name, func.max(PipelineVersionRow.version).label("version"))
        .group_by(PipelineVersionRow.name)
        .order_by(PipelineVersionRow.name)
        .limit(limit)
    )
    if after:
        latest = latest.where(PipelineVersionRow.name > after)
    newest = latest.subquery()
    query = (
        select(PipelineVersionRow, PipelineRow)
        .join(
            newest,
            (PipelineVersionRow.name == newest.c.name)
            & (PipelineVersionRow.version == newest.c.version),
        )
        .join(PipelineRow, PipelineRow.digest == PipelineVersionRow.digest)
        .order_by(PipelineVersionRow.name)
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def list_versions(session: Session, name: str, *, after: int, limit: int) -> list[Named]:
    """Versions of a name after number `after`, oldest first."""
    query = (
        select(PipelineVersionRow, PipelineRow)
        .join(PipelineRow, PipelineRow.digest == PipelineVersionRow.digest)
        .where(PipelineVersionRow.name == name, PipelineVersionRow.version > after)
        .order_by(PipelineVersionRow.version)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in session.execute(query)]
