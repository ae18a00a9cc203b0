"""Annotations of every purpose, those for evaluation included.

Only the upload, the evaluate use-case and the evaluate worker may import this module; an
import-linter contract holds the rest of the project to that, so that no label, weight or
threshold can come to depend on the labels that it is measured with.
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.catalog.tables import AnnotationRow, AnnotationSetRow


def add_annotation_set(
    session: Session, row: AnnotationSetRow, annotations: list[AnnotationRow]
) -> None:
    """Insert a set with its annotations."""
    session.add(row)
    session.flush()
    session.add_all(annotations)


def count_annotations(session: Session, annotation_set_id: str) -> int:
    query = select(func.count()).where(AnnotationRow.annotation_set_id == annotation_set_id)
    return session.scalar(query) or 0


def list_all_annotations(
    session: Session, annotation_set_id: str, *, after_position: int = -1, limit: int = 500
) -> list[AnnotationRow]:
    """Annotations of a set, whatever its purpose."""
    return list(
        session.scalars(
            select(AnnotationRow)
            .where(
                AnnotationRow.annotation_set_id == annotation_set_id,
                AnnotationRow.position > after_position,
            )
            .order_by(AnnotationRow.position)
            .limit(limit)
        )
    )


def truths_by_digest(
    session: Session, annotation_set_id: str, image_digests: list[str]
) -> dict[str, str]:
    """Return image digest → object key of its true label."""
    query = select(AnnotationRow.image_digest, AnnotationRow.object_key).where(
        AnnotationRow.annotation_set_id == annotation_set_id,
        AnnotationRow.image_digest.in_(image_digests),
    )
    return {row.image_digest: row.object_key for row in session.execute(query)}
