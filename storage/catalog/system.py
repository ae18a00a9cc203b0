"""Questions about the installation as a whole."""

from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import ChunkRow, JobRow, WorkerRow


def clock(session: Session) -> float:
    return session.scalar(select(db_now())) or 0.0


def database_facts(session: Session) -> dict[str, Any]:
    """Return kind, version and schema revision of the database."""
    connection = session.connection()
    server = connection.dialect.server_version_info or ()
    return {
        "kind": connection.dialect.name,
        "version": ".".join(str(part) for part in server),
        "schema_revision": MigrationContext.configure(connection).get_current_revision(),
    }


def all_workers(session: Session) -> list[WorkerRow]:
    return list(session.scalars(select(WorkerRow).order_by(WorkerRow.queue, WorkerRow.id)))


def open_chunks(session: Session) -> dict[tuple[str, str], int]:
    """Return (kind, status) → chunks that are not done."""
    query = (
        select(ChunkRow.kind, ChunkRow.status, func.count())
        .where(ChunkRow.status != "done")
        .group_by(ChunkRow.kind, ChunkRow.status)
    )
    return {(kind, status): count for kind, status, count in session.execute(query)}


def unfinished(session: Session) -> tuple[int, int]:
    """Return the jobs that are not done, and their images that are not."""
    query = select(func.count(), func.sum(JobRow.queued + JobRow.running)).where(
        JobRow.status.not_in(DONE_STATUSES)
    )
    jobs, images = session.execute(query).one()
    return jobs, int(images or 0)
