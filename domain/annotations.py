"""Use-case of the upload of annotations: match files to images, store them with their purpose."""

from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from storage.catalog import image_sets
from storage.catalog.engine import db_now
from storage.catalog.evaluation_annotations import add_annotation_set
from storage.catalog.tables import LOCAL, AnnotationRow, AnnotationSetRow


def images_by_stem(session: Session, image_set_id: str) -> dict[str, tuple[str, str]]:
    """Return file stem → (external id, image digest), with and without the folders.

    A stem that is not unique is left out; a stem with its folders goes before one without.
    """
    images = image_sets.images_of_entries(session, image_set_id)
    whole = [(name.rsplit(".", 1)[0], name, digest) for name, digest in images.items()]
    bare = [(stem.rsplit("/", 1)[-1], name, digest) for stem, name, digest in whole]
    return {**_unique(bare), **_unique(whole)}


def _unique(named: list[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    ambiguous: set[str] = set()
    for stem, external_id, digest in named:
        if stem in found and found[stem][1] != digest:
            ambiguous.add(stem)
        found[stem] = (external_id, digest)
    return {stem: value for stem, value in found.items() if stem not in ambiguous}


def store(
    session: Session,
    *,
    image_set_id: str,
    purpose: str,
    ontology: dict[str, Any],
    annotations: list[tuple[str, str, str]],
    rejected: int,
    created_by: str = LOCAL,
) -> AnnotationSetRow:
    """Insert an annotation set; `annotations` are (external id, image digest, object key)."""
    row = AnnotationSetRow(
        id=new_id("ann"),
        image_set_id=image_set_id,
        purpose=purpose,
        ontology=ontology,
        accepted=len(annotations),
        rejected=rejected,
        created_at=db_now(),
        created_by=created_by,
    )
    rows = [
        AnnotationRow(
            annotation_set_id=row.id,
            position=position,
            purpose=purpose,
            external_id=external_id,
            image_digest=digest,
            object_key=key,
        )
        for position, (external_id, digest, key) in enumerate(annotations)
    ]
    add_annotation_set(session, row, rows)
    session.refresh(row)
    return row
