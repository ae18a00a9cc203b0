"""Profiles of labelling tools, and the tasks that wait for labels."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from storage.catalog.engine import db_now
from storage.catalog.tables import (
    ImageSetEntryRow,
    IntegrationRow,
    IntegrationTaskRow,
    JobRow,
    LabelRow,
)
from storage.catalog.upsert import insert_all_new

_UNFINISHED: Final = ("queued", "validating", "running", "finalizing", "cancelling")


def add_integration(session: Session, values: dict[str, Any]) -> bool:
    """Insert a profile; False if its name is taken."""
    expressions = {"created_at": db_now()}
    insert_all_new(session, IntegrationRow, [values], key=["name"], expressions=expressions)
    return session.get(IntegrationRow, values["id"]) is not None


def find_integration(session: Session, reference: str) -> IntegrationRow | None:
    """Return a profile by name or id."""
    query = select(IntegrationRow).where(
        or_(IntegrationRow.name == reference, IntegrationRow.id == reference)
    )
    return session.scalar(query.limit(1))


def list_integrations(session: Session, limit: int) -> list[IntegrationRow]:
    return list(session.scalars(select(IntegrationRow).order_by(IntegrationRow.name).limit(limit)))


def delete_integration(session: Session, row: IntegrationRow) -> None:
    session.delete(row)
    session.flush()


def count_tasks(session: Session, integration_id: str) -> dict[str, int]:
    """Return status → number of tasks."""
    query = (
        select(IntegrationTaskRow.status, func.count())
        .where(IntegrationTaskRow.integration_id == integration_id)
        .group_by(IntegrationTaskRow.status)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def images_by_name_keys(
    session: Session, image_set_id: str, keys: Collection[str]
) -> dict[str, str]:
    """Return name key → image digest of the images of a set."""
    query = select(ImageSetEntryRow.name_key, ImageSetEntryRow.image_digest).where(
        ImageSetEntryRow.image_set_id == image_set_id,
        ImageSetEntryRow.name_key.in_(list(keys)),
        ImageSetEntryRow.image_digest.is_not(None),
    )
    return {row[0]: row[1] for row in session.execute(query) if row[0] and row[1]}


def images_in_set(session: Session, image_set_id: str, digests: Collection[str]) -> set[str]:
    """Return those of the digests that an image set has."""
    query = select(ImageSetEntryRow.image_digest).where(
        ImageSetEntryRow.image_set_id == image_set_id,
        ImageSetEntryRow.image_digest.in_(list(digests)),
    )
    return {digest for digest in session.scalars(query) if digest}


def newest_labels(
    session: Session, image_digests: Collection[str], version_id: str, pipeline_digest: str
) -> dict[str, LabelRow]:
    """Return image digest → the newest label that a model and a pipeline gave it."""
    query = (
        select(LabelRow)
        .where(
            LabelRow.image_digest.in_(list(image_digests)),
            LabelRow.model_version_id == version_id,
            LabelRow.pipeline_digest == pipeline_digest,
            LabelRow.origin == "pipeline",
            LabelRow.deleted_at.is_(None),
        )
        .order_by(LabelRow.created_at, LabelRow.id)
    )
    return {row.image_digest: row for row in session.scalars(query)}


def get_tasks(
    session: Session, integration_id: str, task_ids: Collection[int]
) -> dict[int, IntegrationTaskRow]:
    query = select(IntegrationTaskRow).where(
        IntegrationTaskRow.integration_id == integration_id,
        IntegrationTaskRow.task_id.in_(list(task_ids)),
    )
    return {row.task_id: row for row in session.scalars(query)}


def add_task(session: Session, row: IntegrationTaskRow) -> None:
    session.add(row)


def waiting_tasks(
    session: Session, integration_id: str, *, after: int = -1, limit: int = 200
) -> list[IntegrationTaskRow]:
    """Return tasks that wait for a label, by id."""
    query = (
        select(IntegrationTaskRow)
        .where(
            IntegrationTaskRow.integration_id == integration_id,
            IntegrationTaskRow.status == "waiting",
            IntegrationTaskRow.task_id > after,
        )
        .order_by(IntegrationTaskRow.task_id)
        .limit(limit)
    )
    return list(session.scalars(query))


def has_unfinished_job(session: Session, integration_id: str) -> bool:
    """Whether a job is under way that a profile started."""
    name = JobRow.params["integration"].as_string()
    query = select(JobRow.id).where(JobRow.status.in_(_UNFINISHED), name == integration_id)
    return session.scalar(query.limit(1)) is not None
