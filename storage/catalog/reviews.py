"""Reviews: what people decided on labels, oldest first."""

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from storage.catalog.tables import LabelRow, ModelVersionRow, ReviewRow


def add_review(session: Session, row: ReviewRow) -> None:
    session.add(row)
    session.flush()


def reviews_of_label(session: Session, label_id: str, limit: int) -> list[ReviewRow]:
    """Return the reviews of a label, and the one that made it, oldest first."""
    query = (
        select(ReviewRow)
        .where(or_(ReviewRow.label_id == label_id, ReviewRow.corrected_label_id == label_id))
        .order_by(ReviewRow.created_at, ReviewRow.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def newest_of_label(session: Session, label_id: str) -> ReviewRow | None:
    query = (
        select(ReviewRow)
        .where(ReviewRow.label_id == label_id)
        .order_by(ReviewRow.created_at.desc(), ReviewRow.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def reviews_of_images(
    session: Session, image_digests: Collection[str]
) -> dict[str, list[ReviewRow]]:
    """Return image digest → the reviews of its labels, oldest first."""
    query = (
        select(ReviewRow)
        .where(ReviewRow.image_digest.in_(list(image_digests)))
        .order_by(ReviewRow.created_at, ReviewRow.id)
    )
    found: dict[str, list[ReviewRow]] = {}
    for row in session.scalars(query):
        found.setdefault(row.image_digest, []).append(row)
    return found


def labels_with_classes(
    session: Session, label_ids: Collection[str]
) -> dict[str, tuple[LabelRow, list[str]]]:
    """Return label id → the label and its class names in order; not those that were deleted."""
    query = (
        select(LabelRow, ModelVersionRow.ontology)
        .join(ModelVersionRow, ModelVersionRow.id == LabelRow.model_version_id)
        .where(LabelRow.id.in_(list(label_ids)), LabelRow.deleted_at.is_(None))
    )
    return {
        label.id: (label, [c["name"] for c in ontology["classes"]])
        for label, ontology in session.execute(query)
    }
