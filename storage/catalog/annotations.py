"""Annotation sets, and the annotations that may be read for any purpose but evaluation.

Rows with purpose `evaluation` are read through `storage.catalog.evaluation_annotations` alone.
"""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.catalog.tables import AnnotationRow, AnnotationSetRow


def get_annotation_set(session: Session, annotation_set_id: str) -> AnnotationSetRow | None:
    """The set itself: its purpose, classes and counts, no labels."""
    return session.get(AnnotationSetRow, annotation_set_id)


def list_annotations(
    session: Session, annotation_set_id: str, *, after_position: int = -1, limit: int = 500
) -> list[AnnotationRow]:
    """Annotations of a set whose purpose is not evaluation; nothing for one that is."""
    return list(
        session.scalars(
            select(AnnotationRow)
            .where(
                AnnotationRow.annotation_set_id == annotation_set_id,
                AnnotationRow.purpose != "evaluation",
                AnnotationRow.position > after_position,
            )
            .order_by(AnnotationRow.position)
            .limit(limit)
        )
    )


def count_annotations(session: Session, annotation_set_id: str) -> int:
    """Annotations of a set whose purpose is not evaluation."""
    query = select(func.count()).where(
        AnnotationRow.annotation_set_id == annotation_set_id,
        AnnotationRow.purpose != "evaluation",
    )
    return session.scalar(query) or 0


def keys_by_digest(
    session: Session, annotation_set_id: str, image_digests: Iterable[str]
) -> dict[str, str]:
    """Return image digest → object key of its label, in a set whose purpose is not evaluation."""
    query = select(AnnotationRow.image_digest, AnnotationRow.object_key).where(
        AnnotationRow.annotation_set_id == annotation_set_id,
        AnnotationRow.purpose != "evaluation",
        AnnotationRow.image_digest.in_(list(image_digests)),
    )
    return {row.image_digest: row.object_key for row in session.execute(query)}
