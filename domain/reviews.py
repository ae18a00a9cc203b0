"""Use-cases of reviews: what a person decides on a label, and what follows from it.

Labels never change. A corrected mask is a label of its own, of origin `review`, that says which one
it corrects. A decision is a row that is added; of several on one label the newest counts.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import Gone, NotFound
from storage.catalog import image_sets, labels, review_queue, reviews
from storage.catalog.engine import db_now
from storage.catalog.locks import hold
from storage.catalog.tables import LOCAL, ImageRow, LabelRow, ReviewRow
from storage.objects import Objects, label_key

Source = Literal["api", "import", "label_studio"]
ACCEPTED, REJECTED, CORRECTED = "accepted", "rejected", "corrected"


class Mask(Protocol):
    """A corrected mask, encoded; see `formats.corrected_masks`."""

    @property
    def label_png(self) -> bytes: ...
    @property
    def confidence_png(self) -> bytes: ...
    @property
    def height_px(self) -> int: ...
    @property
    def width_px(self) -> int: ...
    @property
    def class_pixels(self) -> dict[str, int]: ...
    @property
    def coverage(self) -> float: ...


@dataclass(frozen=True)
class Basis:
    """What a corrected label inherits: whose classes it has, and what it was made from."""

    image_digest: str
    model_version_id: str
    pipeline_digest: str
    label_id: str | None = None
    label_digest: str | None = None

    @classmethod
    def of(cls, row: LabelRow) -> "Basis":
        """Return what a correction of this label inherits."""
        return cls(row.image_digest, row.model_version_id, row.pipeline_digest, row.id, row.digest)


@dataclass(frozen=True)
class Decision:
    """What somebody decided, and how we came to know."""

    decision: Literal["accepted", "rejected", "corrected"]
    created_by: str = LOCAL
    source: Source = "api"
    job_id: str | None = None
    note: str | None = None


def store_mask(objects: Objects, basis: Basis, mask: Mask) -> dict[str, Any]:
    """Store the artefacts of a corrected label; returns the columns of its row.

    Raises:
        StorageUnavailable: the store failed.
    """
    content = [
        "review",
        basis.image_digest,
        basis.model_version_id,
        basis.label_digest,
        hashlib.sha256(mask.label_png).hexdigest(),
    ]
    digest = hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
    files = {"label.png": mask.label_png, "confidence.png": mask.confidence_png}
    for name, data in files.items():
        objects.put_new(label_key(digest, name), data)
    return {
        "id": new_id("lab"),
        "digest": digest,
        "origin": "review",
        "image_digest": basis.image_digest,
        "model_version_id": basis.model_version_id,
        "pipeline_digest": basis.pipeline_digest,
        "width_px": mask.width_px,
        "height_px": mask.height_px,
        "coverage": mask.coverage,
        "quality": 1.0 if mask.coverage else None,
        "calibrated": True,
        "class_pixels": mask.class_pixels,
        "artifacts": {name: label_key(digest, name) for name in files},
        "lineage": {
            "origin": "review",
            "image_digest": basis.image_digest,
            "pipeline_digest": basis.pipeline_digest,
            "corrected_from": basis.label_id,
        },
    }


def decide(
    session: Session, basis: Basis, decision: Decision, corrected: dict[str, Any] | None = None
) -> ReviewRow:
    """Note a decision; the label leaves the queue. The same decision twice is one.

    Args:
        corrected: the row of the corrected label, see `store_mask`.

    Raises:
        NotFound, Gone: the label, or its image, is not there any more.
    """
    if basis.label_id is not None:
        hold(session, get_label(session, basis.label_id))
        get_label(session, basis.label_id)
    corrected_id = None
    if corrected is not None:
        corrected_id = _insert(session, corrected)
    newest = None
    if basis.label_id is not None:
        newest = reviews.newest_of_label(session, basis.label_id)
    elif corrected_id is not None:
        newest = next(iter(reviews.reviews_of_label(session, corrected_id, 1)), None)
    if (
        newest is not None
        and (newest.decision, newest.corrected_label_id) == (decision.decision, corrected_id)
        and (decision.note in (None, newest.note))
    ):
        return newest
    row = ReviewRow(
        id=new_id("rev"),
        label_id=basis.label_id,
        image_digest=basis.image_digest,
        decision=decision.decision,
        corrected_label_id=corrected_id,
        source=decision.source,
        job_id=decision.job_id,
        note=decision.note,
        created_at=session.scalar(select(db_now())) or 0.0,
        created_by=decision.created_by,
    )
    reviews.add_review(session, row)
    if basis.label_id is not None:
        review_queue.dequeue(session, basis.label_id)
    return row


def _insert(session: Session, corrected: dict[str, Any]) -> str:
    label_id = labels.add_labels(session, [corrected])[corrected["digest"]]
    row = labels.get_label(session, label_id)
    if row is not None and row.deleted_at is not None:
        row.deleted_at = None  # the same mask again: its artefacts were put anew
    return label_id


def get_label(session: Session, label_id: str) -> LabelRow:
    """Return a label.

    Raises:
        NotFound, Gone: there is none.
    """
    row = labels.get_label(session, label_id)
    if row is None:
        raise NotFound(f"There is no label '{label_id[:80]}'. Label ids stand in a job's results.")
    if row.deleted_at is not None:
        raise Gone(f"Label '{label_id}' was deleted. Label its image again to have it back.")
    return row


def image_of(session: Session, row: LabelRow) -> ImageRow:
    """Return the image of a label."""
    found = image_sets.get_image(session, row.image_digest)
    if found is None:
        raise Gone(f"The image of label '{row.id}' was deleted.")
    return found


@dataclass(frozen=True)
class Verdict:
    """What the reviews of one image come to.

    Attributes:
        best: the label that people stand behind: corrected, or accepted; None if there is none.
        rejected: labels that they refused.
    """

    best: LabelRow | None
    rejected: frozenset[str]


def verdicts(
    session: Session, image_digests: Collection[str], class_names: list[str]
) -> dict[str, Verdict]:
    """Return image digest → what its reviews come to; of labels that have these classes only."""
    histories = reviews.reviews_of_images(session, image_digests)
    named = {
        label_id
        for rows in histories.values()
        for row in rows
        for label_id in (row.label_id, row.corrected_label_id)
        if label_id is not None
    }
    known = {
        label_id: label
        for label_id, (label, names) in reviews.labels_with_classes(session, named).items()
        if names == class_names
    }
    return {digest: verdict_of(rows, known) for digest, rows in histories.items()}


def verdict_of(history: Iterable[ReviewRow], known: dict[str, LabelRow]) -> Verdict:
    """Return what reviews, oldest first, come to; labels that are not known are passed over."""
    best: str | None = None
    rejected: set[str] = set()
    for row in history:
        label_id = row.label_id
        if row.decision == REJECTED and label_id is not None:
            rejected.add(label_id)
            best = None if best == label_id else best
            continue
        if label_id is not None:
            rejected.discard(label_id)
        chosen = label_id if row.decision == ACCEPTED else row.corrected_label_id
        if chosen is not None and chosen in known:
            best = chosen
    return Verdict(known[best] if best is not None else None, frozenset(rejected))
