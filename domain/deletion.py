"""Deleting: what depends on a thing is looked at first, then it is gone for everybody at once.

Only `deleted_at` is written here, in one short transaction; the scheduler removes the rows behind
it in batches (`domain.retention`), and the collector their objects.

An unfinished job is never deprived of what it works with: it has to end first. Finished jobs,
schedules and the like are told, and `force` goes on all the same.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.models import REGION_MODEL_KIND, parse_model_reference
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import FieldProblem, NotFound, ProblemError, StateConflict
from domain import job_states
from domain.job_fields import resolve_pipeline
from storage.catalog import campaigns, dependents, label_sets, models
from storage.catalog.engine import Catalog, db_now
from storage.catalog.locks import claim
from storage.catalog.tables import (
    AnnotationSetRow,
    ImageSetRow,
    JobRow,
    LabelRow,
    LabelSetRow,
    ModelRow,
    ModelVersionRow,
)

_RECEIVING: Final = (
    "it is still receiving files. Wait until it is ready; one that was cut off goes by itself"
)


_HOLDS: Final = "a label set with images of it, which keeps them"


@dataclass
class Dependents:
    """What stands in the way: addresses, each with what it is.

    Attributes:
        live: jobs and campaigns at work; `force` does not help.
        others: what `force` leaves behind without the thing.
    """

    live: list[tuple[str, str]] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)

    def add_live(self, rows: list[JobRow]) -> None:
        self.live += [(f"/v1/jobs/{row.id}", f"a job that is {row.status}") for row in rows]

    def add_campaigns(self, session: Session, *ids: str) -> None:
        rows = campaigns.live_campaigns_naming(session, ids, dependents.NAMED)
        self.live += [
            (f"/v1/campaigns/{row.id}", f"a campaign that is {row.status}") for row in rows
        ]

    def add_others(self, path: str, what: str, ids: list[str]) -> None:
        self.others += [(f"{path}/{name}", what) for name in ids]

    def check(self, what: str, force: bool) -> None:
        """Refuse the deletion of `what` where something stands in its way.

        Raises:
            StateConflict: with the addresses, and what to do.
        """
        if self.live:
            raise StateConflict(
                f"{what} is in use by jobs or campaigns that are not over; `errors` names them. "
                "End them with POST …:cancel or …:stop, or wait for their end.",
                errors=_named(self.live),
            )
        if self.others and not force:
            raise StateConflict(
                f"{what} is referred to; `errors` says by what. Delete that first, or add "
                "?force=true to leave it behind without.",
                errors=_named(self.others),
            )


def _named(found: list[tuple[str, str]]) -> list[FieldProblem]:
    return [FieldProblem(pointer=pointer, detail=detail) for pointer, detail in found]


def delete_image_set(catalog: Catalog, image_set_id: str, *, force: bool = False) -> None:
    """Delete an image set, and with it its annotation sets. Images stay that others refer to.

    Raises:
        NotFound: unknown set.
        StateConflict: something depends on it, or it is still receiving files.
    """
    with catalog.write() as session:
        row = claim(session, ImageSetRow, image_set_id)
        if row is None:
            raise NotFound(
                f"There is no image set '{image_set_id[:80]}'. List them: GET /v1/image-sets."
            )
        if row.deleted_at is not None:
            return
        on_it = JobRow.image_set_id == row.id
        annotated = dependents.annotation_sets_of(session, row.id)
        found = Dependents()
        found.add_live(dependents.unfinished_jobs_with(session, on_it))
        found.add_others("/v1/jobs", "a job on it", dependents.finished_jobs_with(session, on_it))
        found.add_others("/v1/annotation-sets", "its annotations", [a.id for a in annotated])
        found.add_others("/v1/label-sets", _HOLDS, dependents.label_sets_on(session, row.id))
        found.add_others("/v1/schedules", "a schedule", _schedules_naming(session, row.id))
        for one in annotated:
            found.add_live(dependents.unfinished_jobs_naming(session, [one.id]))
        found.add_campaigns(session, row.id, *(one.id for one in annotated))
        found.check(f"Image set '{row.id}'", force)
        if row.status == "receiving" and not force:
            raise StateConflict(f"Image set '{row.id}' cannot be deleted now: {_RECEIVING}.")
        row.deleted_at = _now(session)
        for one in annotated:
            one.deleted_at = row.deleted_at


def delete_annotation_set(catalog: Catalog, annotation_set_id: str, *, force: bool = False) -> None:
    """Delete an annotation set. What was measured with it stays in the results of its jobs.

    Raises:
        NotFound: unknown set.
        StateConflict: an unfinished job, or a schedule, uses it.
    """
    with catalog.write() as session:
        row = claim(session, AnnotationSetRow, annotation_set_id)
        if row is None:
            raise NotFound(f"There is no annotation set '{annotation_set_id[:80]}'.")
        if row.deleted_at is not None:
            return
        found = Dependents()
        found.add_live(dependents.unfinished_jobs_naming(session, [row.id]))
        found.add_others("/v1/schedules", "a schedule", _schedules_naming(session, row.id))
        found.add_campaigns(session, row.id)
        found.check(f"Annotation set '{row.id}'", force)
        row.deleted_at = _now(session)


def delete_job(catalog: Catalog, job_id: str, *, force: bool = False) -> None:
    """Delete a job with its items. Labels go with the last job that shows them.

    With `force` a job that is not over is cancelled, and gone at once for everybody.

    Raises:
        NotFound: unknown job.
        StateConflict: it is not over, or something depends on it.
    """
    with catalog.write() as session:
        row = claim(session, JobRow, job_id)
        if row is None:
            raise NotFound(f"There is no job '{job_id[:80]}'. List jobs with GET /v1/jobs.")
        if row.deleted_at is not None:
            return
        found = Dependents()
        others = dependents.unfinished_jobs_naming(session, [row.id])
        found.add_live([other for other in others if other.id != row.id])
        found.add_others("/v1/schedules", "a schedule", _schedules_naming(session, row.id))
        found.add_campaigns(session, row.id)
        found.check(f"Job '{row.id}'", force)
        if not job_states.is_done(row):
            if not force:
                raise StateConflict(
                    f"Job '{row.id}' is {row.status}. Cancel it first with POST "
                    f"/v1/jobs/{row.id}:cancel, or add ?force=true to do both."
                )
            if row.status != "cancelling":
                job_states.set_status(row, "cancelling")
            job_states.cancel_some(session, row)
            job_states.settle(session, row)
        row.deleted_at = _now(session)


def delete_label_set(catalog: Catalog, label_set_id: str, *, force: bool = False) -> None:
    """Delete a label set. Its labels stay as long as a job shows them.

    Raises:
        NotFound: unknown set.
        StateConflict: a job that is not over uses it.
    """
    with catalog.write() as session:
        row = claim(session, LabelSetRow, label_set_id)
        if row is None:
            raise NotFound(
                f"There is no label set '{label_set_id[:80]}'. List them: GET /v1/label-sets."
            )
        if row.deleted_at is not None:
            return
        found = Dependents()
        found.add_live(dependents.unfinished_jobs_naming(session, [row.id]))
        found.add_others("/v1/schedules", "a schedule", _schedules_naming(session, row.id))
        found.add_campaigns(session, row.id)
        found.check(f"Label set '{row.id}'", force)
        row.deleted_at = _now(session)


def delete_label(catalog: Catalog, label_id: str, *, force: bool = False) -> None:
    """Delete a label. Jobs that show it keep their item, without the label.

    Raises:
        NotFound: unknown label.
        StateConflict: jobs show it.
    """
    with catalog.write() as session:
        row = claim(session, LabelRow, label_id)
        if row is None:
            raise NotFound(
                f"There is no label '{label_id[:80]}'. Label ids stand in a job's results."
            )
        if row.deleted_at is not None:
            return
        showing = dependents.jobs_showing(session, row.id)
        found = Dependents()
        found.add_live(dependents.unfinished_jobs_with(session, JobRow.id.in_(showing)))
        found.add_live(dependents.unfinished_jobs_naming(session, showing) if showing else [])
        found.add_others("/v1/jobs", "a job that shows it", showing[: dependents.NAMED])
        holding = label_sets.sets_with_label(session, row.id, dependents.NAMED)
        found.add_others("/v1/label-sets", "a label set that holds it", holding)
        found.check(f"Label '{row.id}'", force)
        row.deleted_at = _now(session)
        # Its name is free again: who makes this label once more makes a new one.
        row.digest = hashlib.sha256(f"deleted {row.id}".encode()).hexdigest()


def delete_model_version(catalog: Catalog, name: str, number: int, *, force: bool = False) -> None:
    """Delete a version of a model. Its number is never given again; its labels stay.

    Raises:
        NotFound: unknown model or version.
        StateConflict: something depends on it.
    """
    with catalog.write() as session:
        version = models.find_version(session, name, number)
        if version is None:
            raise NotFound(
                f"Model '{name[:80]}' has no version {number}. See /v1/models/{name[:80]}/versions."
            )
        row = claim(session, ModelVersionRow, version.id)
        if row is None or row.deleted_at is not None:
            return
        model = claim(session, ModelRow, name)
        is_current = model is not None and model.current_version == number
        found = Dependents()
        uses_it = JobRow.model_version_id == row.id
        found.add_live(dependents.unfinished_jobs_with(session, uses_it))
        if row.kind == REGION_MODEL_KIND:
            found.add_live(dependents.unfinished_jobs_naming(session, [row.id]))
        if is_current:
            found.add_others("/v1/models", "the bare name means this version", [name])
        schedules = dependents.schedules_with(
            session, lambda job: _names(session, job, name, number)
        )
        found.add_others("/v1/schedules", "a schedule", schedules)
        found.add_campaigns(session, row.id)
        found.check(f"Version {number} of model '{name}'", force)
        row.deleted_at = _now(session)
        if model is not None and is_current:
            model.current_version = None


def _names(session: Session, job: dict[str, Any], name: str, number: int) -> bool:
    """Whether the body of a job names a version as its model or its region model."""
    named = (job.get("model"), _region_model_of(session, job.get("pipeline")))
    return any(_means(reference, name, number) for reference in named)


def _region_model_of(session: Session, pipeline: dict[str, Any] | str | None) -> str | None:
    """Return the region model of the pipeline in the body of a job."""
    if pipeline is None:
        return None
    try:
        asked = pipeline if isinstance(pipeline, str) else PipelineConfig.model_validate(pipeline)
        config, _ = resolve_pipeline(session, asked)
    except (ProblemError, ValidationError):  # of an older version, or its name means nothing now
        return None
    return None if config.aggregate is None else config.aggregate.region_model


def _means(reference: Any, name: str, number: int) -> bool:
    try:
        return parse_model_reference(str(reference)) == (name, number)
    except ValueError:
        return False


def _schedules_naming(session: Session, thing_id: str) -> list[str]:
    return dependents.schedules_with(session, lambda job: thing_id in str(job))


def _now(session: Session) -> float:
    return session.scalar(select(db_now())) or 0.0
