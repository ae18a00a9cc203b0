"""Removal of what is behind deleted rows, and of what is too old: at most 500 rows at a time.

Every function works in one transaction of its own and returns how many rows went; 0 means that
there is nothing (more) to do.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, exists, inspect, or_, select, tuple_, update
from sqlalchemy.orm import Session

from api_schemas.campaigns import ENDED_CAMPAIGNS
from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import (
    AnnotationRow,
    AnnotationSetRow,
    Base,
    CampaignEventRow,
    CampaignRoundRow,
    CampaignRow,
    CampaignStepRow,
    ChunkRow,
    EventRow,
    ImageSetEntryRow,
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    LabelSetEntryRow,
    LabelSetRow,
    ReviewRow,
    ScheduleTickRow,
)

BATCH_ROWS: Final = 500
BATCH_PARENTS: Final = 50


def _older(column: Any, seconds: float) -> ColumnElement[bool]:
    older: ColumnElement[bool] = column < db_now() - seconds
    return older


def _delete_some(
    session: Session,
    table: type[Base],
    *conditions: ColumnElement[bool],
    limit: int | None = None,
) -> int:
    """Delete up to `limit` of the rows that meet the conditions; a batch by default."""
    keys = inspect(table).primary_key
    chosen: Select[Any] = select(*keys).where(*conditions).limit(limit or BATCH_ROWS)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    statement = delete(table).where(key.in_(chosen)).execution_options(synchronize_session=False)
    result: Any = session.execute(statement)
    return int(result.rowcount)


def _behind_deleted_jobs(session: Session) -> Sequence[str]:
    """Return ids of deleted jobs that are over and have rows behind them still."""
    children = or_(
        exists().where(JobItemRow.job_id == JobRow.id),
        exists().where(ChunkRow.job_id == JobRow.id),
        exists().where(EventRow.job_id == JobRow.id),
    )
    query = (
        select(JobRow.id)
        .where(JobRow.deleted_at.is_not(None), JobRow.status.in_(DONE_STATUSES), children)
        .order_by(JobRow.id)
        .limit(BATCH_PARENTS)
    )
    return session.scalars(query).all()


def remove_behind_jobs(session: Session) -> int:
    """Items, chunks and events of deleted jobs."""
    removed = 0
    for job_id in _behind_deleted_jobs(session):
        for table in (JobItemRow, ChunkRow, EventRow):
            left = BATCH_ROWS - removed
            removed += _delete_some(session, table, table.job_id == job_id, limit=left)
            if removed >= BATCH_ROWS:
                return removed
    return removed


def remove_behind_image_sets(session: Session) -> int:
    """Entries of deleted image sets, and the reviews of images that are in no set any more."""
    deleted = select(ImageSetRow.id).where(
        ImageSetRow.deleted_at.is_not(None),
        exists().where(ImageSetEntryRow.image_set_id == ImageSetRow.id),
    )
    for image_set_id in session.scalars(deleted.limit(1)):
        entries = (
            select(ImageSetEntryRow.position, ImageSetEntryRow.image_digest)
            .where(ImageSetEntryRow.image_set_id == image_set_id)
            .limit(BATCH_ROWS)
        )
        rows = session.execute(entries).all()
        removed = _delete_some(
            session,
            ImageSetEntryRow,
            ImageSetEntryRow.image_set_id == image_set_id,
            ImageSetEntryRow.position.in_([row.position for row in rows]),
        )
        _remove_reviews(session, [row.image_digest for row in rows if row.image_digest])
        return removed
    return 0


def _remove_reviews(session: Session, image_digests: Sequence[str]) -> None:
    """Remove the reviews of those images that no image set has."""
    session.execute(
        delete(ReviewRow)
        .where(
            ReviewRow.image_digest.in_(image_digests),
            ~exists().where(ImageSetEntryRow.image_digest == ReviewRow.image_digest),
        )
        .execution_options(synchronize_session=False)
    )


def remove_behind_annotation_sets(session: Session) -> int:
    """Annotations of deleted annotation sets."""
    deleted = select(AnnotationSetRow.id).where(
        AnnotationSetRow.deleted_at.is_not(None),
        exists().where(AnnotationRow.annotation_set_id == AnnotationSetRow.id),
    )
    for set_id in session.scalars(deleted.limit(1)):
        return _delete_some(session, AnnotationRow, AnnotationRow.annotation_set_id == set_id)
    return 0


def remove_behind_label_sets(session: Session) -> int:
    """Entries of deleted label sets."""
    deleted = select(LabelSetRow.id).where(
        LabelSetRow.deleted_at.is_not(None),
        exists().where(LabelSetEntryRow.label_set_id == LabelSetRow.id),
    )
    for set_id in session.scalars(deleted.limit(1)):
        return _delete_some(session, LabelSetEntryRow, LabelSetEntryRow.label_set_id == set_id)
    return 0


def remove_behind_campaigns(session: Session) -> int:
    """Events, steps and rounds of deleted campaigns that are over."""
    tables = (CampaignEventRow, CampaignStepRow, CampaignRoundRow)
    deleted = select(CampaignRow.id).where(
        CampaignRow.deleted_at.is_not(None),
        CampaignRow.status.in_(ENDED_CAMPAIGNS),
        or_(*(exists().where(table.campaign_id == CampaignRow.id) for table in tables)),
    )
    for campaign_id in session.scalars(deleted.limit(1)):
        for table in tables:
            removed = _delete_some(session, table, table.campaign_id == campaign_id)
            if removed:
                return removed
    return 0


def remove_campaigns(session: Session, seconds: float) -> int:
    """Deleted campaigns with nothing behind them."""
    return _delete_some(
        session,
        CampaignRow,
        CampaignRow.deleted_at.is_not(None),
        _older(CampaignRow.deleted_at, seconds),
        CampaignRow.status.in_(ENDED_CAMPAIGNS),
        ~exists().where(CampaignRoundRow.campaign_id == CampaignRow.id),
    )


def remove_labels(session: Session, seconds: float) -> int:
    """Labels that were deleted so long ago; what shows them loses its reference first."""
    old = (
        select(LabelRow.id)
        .where(LabelRow.deleted_at.is_not(None), _older(LabelRow.deleted_at, seconds))
        .order_by(LabelRow.id)
        .limit(BATCH_PARENTS)
    )
    found = session.scalars(old).all()
    if not found:
        return 0
    shown = select(JobItemRow.job_id, JobItemRow.position).where(JobItemRow.label_id.in_(found))
    rows = session.execute(shown.limit(BATCH_ROWS)).all()
    if rows:
        session.execute(
            update(JobItemRow)
            .where(tuple_(JobItemRow.job_id, JobItemRow.position).in_([tuple(r) for r in rows]))
            .values(label_id=None)
            .execution_options(synchronize_session=False)
        )
        return len(rows)
    held = select(LabelSetEntryRow.label_set_id, LabelSetEntryRow.position).where(
        LabelSetEntryRow.label_id.in_(found)
    )
    rows = session.execute(held.limit(BATCH_ROWS)).all()
    if rows:
        key = tuple_(LabelSetEntryRow.label_set_id, LabelSetEntryRow.position)
        session.execute(
            update(LabelSetEntryRow)
            .where(key.in_([tuple(r) for r in rows]))
            .values(label_id=None)
            .execution_options(synchronize_session=False)
        )
        return len(rows)
    return _delete_some(session, LabelRow, LabelRow.id.in_(found))


def remove_jobs(session: Session, seconds: float) -> int:
    """Deleted jobs with nothing behind them, so long after they were deleted."""
    bare = ~or_(
        exists().where(JobItemRow.job_id == JobRow.id),
        exists().where(ChunkRow.job_id == JobRow.id),
        exists().where(EventRow.job_id == JobRow.id),
    )
    query = (
        select(JobRow.id)
        .where(
            JobRow.deleted_at.is_not(None),
            _older(JobRow.deleted_at, seconds),
            JobRow.status.in_(DONE_STATUSES),
            bare,
        )
        .order_by(JobRow.id)
        .limit(BATCH_PARENTS)
    )
    found = session.scalars(query).all()
    if not found:
        return 0
    # retries of theirs are jobs of their own by now
    session.execute(update(JobRow).where(JobRow.retry_of.in_(found)).values(retry_of=None))
    return _delete_some(session, JobRow, JobRow.id.in_(found))


def remove_annotation_sets(session: Session, seconds: float) -> int:
    """Deleted annotation sets with nothing behind them."""
    return _delete_some(
        session,
        AnnotationSetRow,
        AnnotationSetRow.deleted_at.is_not(None),
        _older(AnnotationSetRow.deleted_at, seconds),
        ~exists().where(AnnotationRow.annotation_set_id == AnnotationSetRow.id),
    )


def remove_label_sets(session: Session, seconds: float) -> int:
    """Deleted label sets with nothing behind them."""
    return _delete_some(
        session,
        LabelSetRow,
        LabelSetRow.deleted_at.is_not(None),
        _older(LabelSetRow.deleted_at, seconds),
        ~exists().where(LabelSetEntryRow.label_set_id == LabelSetRow.id),
    )


def remove_image_sets(session: Session, seconds: float) -> int:
    """Deleted image sets with nothing behind them that no job refers to any more."""
    return _delete_some(
        session,
        ImageSetRow,
        ImageSetRow.deleted_at.is_not(None),
        _older(ImageSetRow.deleted_at, seconds),
        ~exists().where(ImageSetEntryRow.image_set_id == ImageSetRow.id),
        ~exists().where(JobRow.image_set_id == ImageSetRow.id),
        ~exists().where(AnnotationSetRow.image_set_id == ImageSetRow.id),
    )


def remove_old_ticks(session: Session, seconds: float) -> int:
    return _delete_some(session, ScheduleTickRow, _older(ScheduleTickRow.due_at, seconds))


def delete_cut_off_sets(session: Session, seconds: float) -> int:
    """Declare sets deleted that nobody has added a file to for so long, and no job is going to."""
    touched = _older(ImageSetRow.touched_at, seconds)
    never = ImageSetRow.touched_at.is_(None) & _older(ImageSetRow.created_at, seconds)
    at_work = exists().where(
        JobRow.image_set_id == ImageSetRow.id, JobRow.status.not_in(DONE_STATUSES)
    )
    chosen = (
        select(ImageSetRow.id)
        .where(
            ImageSetRow.status == "receiving",
            ImageSetRow.deleted_at.is_(None),
            or_(touched, never),
            ~at_work,
        )
        .limit(BATCH_ROWS)
    )
    result: Any = session.execute(
        update(ImageSetRow)
        .where(ImageSetRow.id.in_(chosen))
        .values(deleted_at=db_now())
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)


def delete_cut_off_label_sets(session: Session, seconds: float) -> int:
    """Declare label sets deleted whose freezing nobody has gone on with for so long."""
    chosen = (
        select(LabelSetRow.id)
        .where(
            LabelSetRow.status == "freezing",
            LabelSetRow.deleted_at.is_(None),
            _older(LabelSetRow.touched_at, seconds),
        )
        .limit(BATCH_ROWS)
    )
    result: Any = session.execute(
        update(LabelSetRow)
        .where(LabelSetRow.id.in_(chosen))
        .values(deleted_at=db_now())
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)


def old_jobs(session: Session, seconds: float) -> Sequence[str]:
    """Return ids of jobs that have been over for so long."""
    query = (
        select(JobRow.id)
        .where(
            JobRow.status.in_(DONE_STATUSES),
            JobRow.deleted_at.is_(None),
            _older(JobRow.finished_at, seconds),
        )
        .order_by(JobRow.id)
        .limit(BATCH_PARENTS)
    )
    return session.scalars(query).all()


def old_image_sets(session: Session, seconds: float) -> Sequence[str]:
    """Return ids of image sets of this age that no job, deleted ones left out, refers to."""
    used = exists().where(JobRow.image_set_id == ImageSetRow.id, JobRow.deleted_at.is_(None))
    annotated = exists().where(
        AnnotationSetRow.image_set_id == ImageSetRow.id, AnnotationSetRow.deleted_at.is_(None)
    )
    query = (
        select(ImageSetRow.id)
        .where(
            ImageSetRow.status != "receiving",
            ImageSetRow.deleted_at.is_(None),
            _older(ImageSetRow.created_at, seconds),
            ~used,
            ~annotated,
        )
        .order_by(ImageSetRow.id)
        .limit(BATCH_PARENTS)
    )
    return session.scalars(query).all()


def old_labels(session: Session, seconds: float) -> Sequence[str]:
    """Return ids of labels of this age that no label set and no review holds.

    Nor those that a job shows which ended later, or has yet to end.
    """
    shown = (
        exists()
        .where(JobItemRow.label_id == LabelRow.id)
        .where(JobItemRow.job_id == JobRow.id, JobRow.deleted_at.is_(None))
        .where(or_(JobRow.status.not_in(DONE_STATUSES), JobRow.finished_at >= db_now() - seconds))
    )
    held = or_(
        exists().where(LabelSetEntryRow.label_id == LabelRow.id),
        exists().where(ReviewRow.label_id == LabelRow.id),
        exists().where(ReviewRow.corrected_label_id == LabelRow.id),
    )
    query = (
        select(LabelRow.id)
        .where(LabelRow.deleted_at.is_(None), _older(LabelRow.created_at, seconds), ~shown, ~held)
        .order_by(LabelRow.id)
        .limit(BATCH_ROWS)
    )
    return session.scalars(query).all()
