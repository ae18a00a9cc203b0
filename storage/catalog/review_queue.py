"""Labels that nobody has looked at, those first from which a look is worth most.

The queue is a column of the job's items with indexes of its own: null where there is nothing (more)
to review, so that a page costs the same whatever was reviewed before.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, exists, func, select, tuple_, update
from sqlalchemy.orm import Session

from storage.catalog.tables import ImageRow, JobItemRow, JobRow, LabelRow, ReviewRow

Order = Literal["expected_gain", "quality"]
# A pixel without a class teaches nothing, one with a wrong class the wrong thing.
MISSING_WEIGHT: Final = 0.5
_LABELLING: Final = ("generate", "refine")
_MAX_ROUNDS: Final = 50


def expected_gain() -> ColumnElement[Any]:
    """Return what a correction is expected to bring, as a share of the image, 0 … 1.

    coverage · (1 − quality) is the share of pixels that carry a wrong class; the share that carries
    none counts half.
    """
    wrong = LabelRow.coverage * (1.0 - func.coalesce(LabelRow.quality, 0.0))
    return wrong + MISSING_WEIGHT * (1.0 - LabelRow.coverage)


def enqueue(session: Session, job_id: str, positions: Collection[int]) -> None:
    """Put the labels of some items of a job into the queue, unless they were reviewed."""
    if not positions:
        return
    gain = select(expected_gain()).where(LabelRow.id == JobItemRow.label_id).scalar_subquery()
    session.execute(
        update(JobItemRow)
        .where(
            JobItemRow.job_id == job_id,
            JobItemRow.position.in_(list(positions)),
            JobItemRow.status == "succeeded",
            JobItemRow.label_id.is_not(None),
            ~exists().where(ReviewRow.label_id == JobItemRow.label_id),
        )
        .values(expected_gain=gain)
        .execution_options(synchronize_session=False)
    )


def dequeue(session: Session, label_id: str) -> None:
    """Take a label out of the queue, whatever jobs show it."""
    session.execute(
        update(JobItemRow)
        .where(JobItemRow.label_id == label_id)
        .values(expected_gain=None)
        .execution_options(synchronize_session=False)
    )


@dataclass(frozen=True)
class Waiting:
    """A label in the queue, with the first item that shows it."""

    item: JobItemRow
    label: LabelRow
    image: ImageRow


@dataclass(frozen=True)
class Place:
    """The last label of a page: the value that orders it, and its id."""

    value: float
    label_id: str


def page(
    session: Session, order: Order, job_id: str | None, after: Place | None, limit: int
) -> list[Waiting]:
    """Return up to `limit` distinct labels of the queue; by gain the highest first, by quality the
    lowest. Labels without a kept pixel have no quality and are not in that order.
    """
    found: list[Waiting] = []
    for _ in range(_MAX_ROUNDS):
        rows = _rows(session, order, job_id, after, limit + 1 - len(found))
        for row in rows:
            if not found or found[-1].label.id != row.label.id:
                found.append(row)
        if len(found) >= limit or not rows:
            break
        last = rows[-1]
        after = Place(getattr(last.item, order), last.label.id)
    return found[:limit]


def _rows(
    session: Session, order: Order, job_id: str | None, after: Place | None, limit: int
) -> list[Waiting]:
    value = JobItemRow.expected_gain if order == "expected_gain" else JobItemRow.quality
    key = tuple_(value, JobItemRow.label_id)
    query = (
        select(JobItemRow, LabelRow, ImageRow)
        .join(LabelRow, LabelRow.id == JobItemRow.label_id)
        .join(ImageRow, ImageRow.digest == LabelRow.image_digest)
        .join(JobRow, JobRow.id == JobItemRow.job_id)
        .where(
            JobItemRow.expected_gain.is_not(None),  # for the sake of the partial index
            value.is_not(None),
            LabelRow.deleted_at.is_(None),
            JobRow.deleted_at.is_(None),
            ~exists().where(ReviewRow.label_id == LabelRow.id),
        )
        .limit(limit)
    )
    if job_id is not None:
        query = query.where(JobItemRow.job_id == job_id)
    if order == "expected_gain":
        query = query.order_by(value.desc(), JobItemRow.label_id.desc())
        if after is not None:
            query = query.where(key < tuple_(after.value, after.label_id))
    else:
        query = query.order_by(value, JobItemRow.label_id)
        if after is not None:
            query = query.where(key > tuple_(after.value, after.label_id))
    return [Waiting(row[0], row[1], row[2]) for row in session.execute(query)]


def count_of_job(session: Session, job_id: str) -> int:
    """Return how many items of a job wait for a review."""
    query = select(func.count()).where(
        JobItemRow.job_id == job_id, JobItemRow.expected_gain.is_not(None)
    )
    return session.scalar(query) or 0


def newest_labelling_job(session: Session, image_set_id: str) -> JobRow | None:
    """Return the newest generate or refine job on an image set that has made a label."""
    query = (
        select(JobRow)
        .where(
            JobRow.image_set_id == image_set_id,
            JobRow.type.in_(_LABELLING),
            JobRow.deleted_at.is_(None),
            JobRow.succeeded > 0,
        )
        .order_by(JobRow.id.desc())
        .limit(1)
    )
    return session.scalar(query)
