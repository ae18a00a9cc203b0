"""What refers to objects, and the rows that exist only for the sake of their objects."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from api_schemas.jobs import DONE_STATUSES
from storage.catalog.engine import db_now
from storage.catalog.tables import (
    AnnotationRow,
    ImageRow,
    ImageSetEntryRow,
    JobItemRow,
    JobRow,
    LabelRow,
    LabelSetEntryRow,
    ModelVersionRow,
    ReviewRow,
    UploadRow,
)
from storage.units import kind_of, name_of

MAX_UNITS: Final = 500


def referenced(session: Session, units: Iterable[str], evidence_seconds: float) -> set[str]:
    """Return those of at most 500 units that a row refers to.

    Args:
        evidence_seconds: evidence of a job is kept for so long after the job's end.
    """
    by_kind: dict[str, dict[str, str]] = {}
    for unit in units:
        by_kind.setdefault(kind_of(unit), {})[name_of(unit)] = unit
    found: set[str] = set()
    for kind, named in by_kind.items():
        if kind in _BY_KEY:
            found |= _BY_KEY[kind](session, named.values())
            continue
        for query in _queries(kind, list(named), evidence_seconds):
            found |= {named[name] for name in session.scalars(query)}
    return found


def _queries(kind: str, names: list[str], evidence_seconds: float) -> list[Select[Any]]:
    if kind == "evidence":
        return [_evidence(names, evidence_seconds)]
    return _QUERIES[kind](names)


def _images(names: list[str]) -> list[Select[Any]]:
    return [select(ImageRow.digest).where(ImageRow.digest.in_(names), _image_is_used())]


def _image_is_used() -> ColumnElement[bool]:
    return or_(
        exists().where(ImageSetEntryRow.image_digest == ImageRow.digest),
        exists().where(JobItemRow.image_digest == ImageRow.digest),
        exists().where(AnnotationRow.image_digest == ImageRow.digest),
        exists().where(LabelRow.image_digest == ImageRow.digest),
        exists().where(LabelSetEntryRow.image_digest == ImageRow.digest),
        exists().where(ReviewRow.image_digest == ImageRow.digest),
    )


def _labels(names: list[str]) -> list[Select[Any]]:
    return [
        select(LabelRow.digest).where(
            LabelRow.digest.in_(names), LabelRow.deleted_at.is_(None), _label_is_shown()
        )
    ]


def _label_is_shown() -> ColumnElement[bool]:
    return or_(
        exists().where(JobItemRow.label_id == LabelRow.id),
        exists().where(LabelSetEntryRow.label_id == LabelRow.id),
        exists().where(ReviewRow.label_id == LabelRow.id),
        exists().where(ReviewRow.corrected_label_id == LabelRow.id),
    )


def _evidence(names: list[str], evidence_seconds: float) -> Select[Any]:
    digest = JobItemRow.evidence_digest
    wanted = or_(
        JobRow.status.not_in(DONE_STATUSES),
        JobRow.finished_at > db_now() - evidence_seconds,
    )
    return (
        select(digest)
        .join(JobRow, JobRow.id == JobItemRow.job_id)
        # "is not null" for the sake of the partial index
        .where(digest.in_(names), digest.is_not(None), JobRow.deleted_at.is_(None), wanted)
    )


def _fits(names: list[str]) -> list[Select[Any]]:
    columns = (JobRow.pilot_fit_digest, JobRow.job_fit_digest)
    return [select(column).where(column.in_(names)) for column in columns]


def _of_unfinished_jobs(names: list[str]) -> list[Select[Any]]:
    """What jobs that are not over have put aside for themselves."""
    return [
        select(JobRow.id).where(
            JobRow.id.in_(names), JobRow.deleted_at.is_(None), JobRow.status.not_in(DONE_STATUSES)
        )
    ]


def _models(names: list[str]) -> list[Select[Any]]:
    return [
        select(ModelVersionRow.digest).where(
            ModelVersionRow.digest.in_(names),
            ModelVersionRow.deleted_at.is_(None),
            ModelVersionRow.status.in_(("ready", "validating")),
        )
    ]


def _uploads(names: list[str]) -> list[Select[Any]]:
    kept = ("open", "completing", "complete")
    return [select(UploadRow.id).where(UploadRow.id.in_(names), UploadRow.status.in_(kept))]


def _exports(names: list[str]) -> list[Select[Any]]:
    """Exports at work, and those whose file is kept still."""
    expires_at = JobRow.params["expires_at"].as_float()
    kept = or_(JobRow.status.not_in(DONE_STATUSES), func.coalesce(expires_at, 0.0) > db_now())
    return [select(JobRow.id).where(JobRow.id.in_(names), JobRow.deleted_at.is_(None), kept)]


_QUERIES: Final[dict[str, Callable[[list[str]], list[Select[Any]]]]] = {
    "images": _images,
    "labels": _labels,
    "samples": _of_unfinished_jobs,
    "checkpoints": _of_unfinished_jobs,
    "fits": _fits,
    "models": _models,
    "uploads": _uploads,
    "exports": _exports,
}


def _annotations(session: Session, keys: Iterable[str]) -> set[str]:
    wanted = list(keys)
    found: set[str] = set()
    for column in (AnnotationRow.object_key, LabelSetEntryRow.annotation_key):
        found.update(
            key for key in session.scalars(select(column).where(column.in_(wanted))) if key
        )
    return found


def _worklists(session: Session, keys: Iterable[str]) -> set[str]:
    """The lists of files that jobs still read."""
    key = JobRow.params["source"]["worklist"].as_string()
    query = select(key).where(
        JobRow.type == "ingest", JobRow.status.not_in(DONE_STATUSES), key.in_(list(keys))
    )
    return set(session.scalars(query))


_BY_KEY: Final[dict[str, Callable[[Session, Iterable[str]], set[str]]]] = {
    "annotations": _annotations,
    "worklists": _worklists,
}


def remove_rows(session: Session, units: Iterable[str]) -> None:
    """Remove the rows of images and labels that exist for the sake of these units.

    Raises:
        IntegrityError: something has come to refer to one; roll back.
    """
    named: dict[str, list[str]] = {}
    for unit in units:
        named.setdefault(kind_of(unit), []).append(name_of(unit))
    # No conditions: a row that is referred to after all must fail here, not stay without objects.
    if "labels" in named:
        session.execute(delete(LabelRow).where(LabelRow.digest.in_(named["labels"])))
    if "images" in named:
        session.execute(delete(ImageRow).where(ImageRow.digest.in_(named["images"])))
