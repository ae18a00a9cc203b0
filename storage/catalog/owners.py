"""Who made a thing."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.catalog.tables import AnnotationSetRow, ImageSetRow, JobRow, LabelSetRow

Owned = type[ImageSetRow] | type[AnnotationSetRow] | type[JobRow] | type[LabelSetRow]


def owner_of(session: Session, table: Owned, row_id: str) -> str | None:
    """Return the principal that made a row; None if there is no such row."""
    return session.scalar(select(table.created_by).where(table.id == row_id))
