"""Use-cases of jobs: create, cancel, retry."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.jobs import AdaptJobCreate, GenerateJobCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import (
    DeadlineExceeded,
    FieldProblem,
    Gone,
    NotFound,
    QuotaExceeded,
    RectifierMissing,
    StateConflict,
    ValidationProblem,
)
from domain import events, job_states, models, region_models, tracing
from domain.job_fields import common_fields, resolve_pipeline
from storage.catalog import image_sets, jobs
from storage.catalog.engine import Catalog, db_now
from storage.catalog.locks import hold
from storage.catalog.tables import LOCAL, ImageSetRow, JobRow, LabelSetRow, ModelVersionRow

LABELLING_TYPES: Final = ("generate", "refine")  # whose items end with a label


def get_job(session: Session, job_id: str, *, to_refer: bool = False) -> JobRow:
    """Return a job; `to_refer` keeps it from being deleted until the transaction ends.

    Raises:
        NotFound: with what to do.
        Gone: it was deleted.
    """
    row = jobs.get_job(session, job_id)
    if row is None:
        raise NotFound(f"There is no job '{job_id}'. List jobs with GET /v1/jobs.")
    if to_refer:
        hold(session, row)
    if row.deleted_at is not None:
        raise Gone(f"Job '{job_id}' was deleted. List jobs with GET /v1/jobs.")
    return row


def get_ready_set(session: Session, image_set_id: str) -> ImageSetRow:
    """Return an image set whose upload is complete, kept from being deleted meanwhile.

    Raises:
        NotFound: unknown.
        Gone: it was deleted.
        StateConflict: the upload is still running, or was cut off.
    """
    row = image_sets.get_image_set(session, image_set_id)
    if row is None:
        raise NotFound(f"There is no image set '{image_set_id}'. POST one to /v1/image-sets.")
    hold(session, row)
    if row.deleted_at is not None:
        raise Gone(f"Image set '{image_set_id}' was deleted. POST another to /v1/image-sets.")
    if row.status != "ready":
        raise StateConflict(
            f"Image set '{image_set_id}' is still receiving files, or its upload was cut off. "
            "Wait for the answer to the upload, or upload again."
        )
    return row


def check_pipeline(session: Session, config: PipelineConfig, version: ModelVersionRow) -> None:
    """Refuse what cannot be run with this model.

    Raises:
        RectifierMissing: `rectify` with a version that carries no rectifier.
        ValidationProblem: thresholds that do not fit the model's classes.
        ProblemError: a region model that is unknown or not ready, or is none.
    """
    if config.rectify is not None and not version.facts.get("has_rectifier"):
        raise RectifierMissing(
            f"Model '{models.reference_of(version)}' has no rectifier, which the stage 'rectify' "
            "needs. Make a version that has one with a job of type `fit_rectifier`, or leave the "
            "stage out.",
            errors=[FieldProblem(pointer="/pipeline/rectify", detail="the model has no rectifier")],
        )
    region_models.pin(session, config)
    num_classes = len(version.ontology["classes"])
    thresholds = config.select.thresholds if config.select else None
    if isinstance(thresholds, tuple) and len(thresholds) != num_classes:
        raise ValidationProblem(
            f"select.thresholds has {len(thresholds)} values, the model has {num_classes} classes. "
            "Give one number for all classes or one for each."
        )


def check_room(session: Session, new_images: int, max_queued_images: int) -> None:
    """Refuse work before it is accepted rather than drop it later.

    Raises:
        QuotaExceeded: too many images are waiting.
    """
    waiting = jobs.count_unfinished_images(session)
    if waiting + new_images > max_queued_images:
        raise QuotaExceeded(
            f"{waiting} images are waiting already and {new_images} more would exceed the limit "
            f"of {max_queued_images} (SELVAGE_MAX_QUEUED_IMAGES). Try again later.",
            headers={"Retry-After": "60"},
        )


def new_job_row(
    session: Session,
    *,
    job_type: str,
    image_set_id: str | None,
    total: int,
    params: dict[str, Any],
    priority: int,
    failure_policy: dict[str, Any],
    metadata: dict[str, str],
    version: ModelVersionRow | None = None,
    pipeline: PipelineConfig | None = None,
    pipeline_name: str | None = None,
    schedule_at: float | None = None,
    deadline_at: float | None = None,
    schedule_id: str | None = None,
    created_by: str = LOCAL,
    webhook: dict[str, Any] | None = None,
) -> JobRow:
    """Insert a job in state `queued`, with its pipeline; the scheduler plans the rest.

    Raises:
        ProblemError: the region model of the pipeline is unknown or not ready, or is none.
    """
    if pipeline is not None:
        params = _with_region_model(session, params, pipeline)
        jobs.add_pipeline(session, pipeline.digest, pipeline.model_dump(mode="json"))
    row = JobRow(
        id=new_id("job"),
        type=job_type,
        status="queued",
        phase="plan",
        image_set_id=image_set_id,
        model_version_id=version.id if version else None,
        pipeline_digest=pipeline.digest if pipeline else None,
        pipeline_name=pipeline_name,
        params=params,
        priority=priority,
        failure_policy=failure_policy,
        job_metadata=metadata,
        planned=0,
        total=total,
        queued=total,
        running=0,
        succeeded=0,
        failed=0,
        skipped=0,
        cancelled=0,
        evidence_ready=0,
        stage_failed={},
        event_seq=0,
        dispatched_seq=0,
        created_at=session.scalar(select(db_now())) or 0.0,
        created_by=created_by,
        schedule_id=schedule_id,
        schedule_at=schedule_at,
        deadline_at=deadline_at,
        webhook=webhook,
    )
    with tracing.span(f"job {job_type}", kind="producer", job=row.id) as span:
        row.traceparent = span.traceparent  # what workers do for the job goes on from here
    jobs.add_job(session, row)
    events.status_changed(row)
    return row


def _with_region_model(
    session: Session, params: dict[str, Any], pipeline: PipelineConfig
) -> dict[str, Any]:
    """Return a job's parameters with its region model; a retry keeps that of the first job."""
    pinned = None if "region_model" in params else region_models.pin(session, pipeline)
    return params if pinned is None else {**params, "region_model": pinned.to_dict()}


def create_generate(
    session: Session,
    request: GenerateJobCreate,
    max_queued: int,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that labels every image of a set.

    Raises:
        ProblemError: unknown or unready image set or model, a stage that does not exist, no room.
    """
    image_set = get_ready_set(session, request.image_set)
    version = models.resolve(session, request.model)
    pipeline, pipeline_name = resolve_pipeline(session, request.pipeline)
    check_pipeline(session, pipeline, version)
    total = image_set.accepted + image_set.duplicate + image_set.rejected
    if total == 0:
        raise ValidationProblem(f"Image set '{image_set.id}' has no files.")
    check_room(session, total, max_queued)
    return new_job_row(
        session,
        job_type="generate",
        image_set_id=image_set.id,
        total=total,
        params={},
        version=version,
        pipeline=pipeline,
        pipeline_name=pipeline_name,
        **common_fields(session, request, created_by, schedule_id),
    )


def create_adapt(
    session: Session,
    request: AdaptJobCreate,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that re-estimates a model's normalisation statistics on a set of images.

    Raises:
        ProblemError: unknown or unready image set or model, or fewer than two usable images.
    """
    image_set = get_ready_set(session, request.image_set)
    version = models.resolve(session, request.model)
    total = min(request.sample_images, image_set.accepted)
    if total < 2:
        raise ValidationProblem(
            f"Image set '{image_set.id}' has {image_set.accepted} usable images; "
            "re-estimating statistics needs at least two."
        )
    return new_job_row(
        session,
        job_type="adapt",
        image_set_id=image_set.id,
        total=total,
        params={"seed": request.seed, "promote": request.promote},
        version=version,
        **common_fields(session, request, created_by, schedule_id),
    )


def cancel(catalog: Catalog, job_id: str) -> JobRow:
    """Ask a job to stop; finished labels stay. Idempotent; a finished job stays as it is.

    Raises:
        NotFound: unknown job.
    """
    with catalog.write() as session:
        get_job(session, job_id)
        job = jobs.lock_job(session, job_id)
        if not job_states.is_done(job) and job.status != "cancelling":
            job_states.set_status(job, "cancelling")
            job_states.cancel_some(session, job)
            job_states.settle(session, job)
        return job


def expire(catalog: Catalog, job_id: str) -> bool:
    """End a job whose deadline has passed; finished labels stay. False if it is over already."""
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        now = session.scalar(select(db_now())) or 0.0
        is_late = job.deadline_at is not None and job.deadline_at <= now
        if not is_late or job_states.is_done(job) or job.status == "cancelling":
            return False
        left = job.queued + job.running
        job_states.fail_job(
            job,
            DeadlineExceeded(
                f"{left} of {job.total} images were not done at deadline_at. Finished labels stay "
                "readable; `:retry` labels the rest, without a deadline."
            ),
        )
        job_states.cancel_some(session, job)
        job_states.settle(session, job)
        return True


def _require_inputs(session: Session, job: JobRow) -> None:
    """Refuse to work again with what was deleted, and keep the rest from it."""
    image_set = session.get(ImageSetRow, job.image_set_id) if job.image_set_id else None
    version = session.get(ModelVersionRow, job.model_version_id) if job.model_version_id else None
    label_set_id = job.params.get("label_set")
    label_set = session.get(LabelSetRow, label_set_id) if label_set_id else None
    for row, what in (
        (image_set, "image set"),
        (version, "model version"),
        (label_set, "label set"),
    ):
        if row is not None and hold(session, row).deleted_at is not None:
            raise Gone(f"The {what} of job '{job.id}' was deleted. Start a new job on another one.")
    region_models.require(session, job)


def create_retry(
    session: Session, job_id: str, only: str, max_queued: int, created_by: str = LOCAL
) -> JobRow:
    """Create a new job for what a finished one left undone, with the fits of that job.

    ``only="failed"`` takes over the labels that succeeded and works on the rest; ``"all"`` works
    on every image again.

    Raises:
        NotFound: unknown job.
        StateConflict: the job is not finished.
        Gone: it was deleted, or its image set, model version or region model was.
        QuotaExceeded: too many images are waiting.
    """
    old = get_job(session, job_id, to_refer=True)
    _require_inputs(session, old)
    if not job_states.is_done(old):
        raise StateConflict(f"Job '{job_id}' is {old.status}. Wait for its end, or cancel it.")
    if old.type == "validate":
        raise StateConflict(
            "A model version is decided about once. POST the model again, as its next version."
        )
    if old.type == "push":
        raise StateConflict("Predictions are sent again when Label Studio asks for them again.")
    if old.type == "import":
        raise StateConflict("A file is imported once. Send it again: POST /v1/imports.")
    if old.type == "ingest":
        raise StateConflict(
            "An image set is filled once. Ask for the images again: POST /v1/image-sets."
        )
    if old.type == "export":
        raise StateConflict("An export is not retried. Ask for it again: POST /v1/exports.")
    check_room(session, old.total, max_queued)
    pipeline = (
        PipelineConfig.model_validate(jobs.get_pipeline(session, old.pipeline_digest))
        if old.pipeline_digest
        else None
    )
    row = new_job_row(
        session,
        job_type=old.type,
        image_set_id=old.image_set_id,
        total=old.total,
        params={**old.params, "retry_only": only},
        priority=old.priority,
        failure_policy=old.failure_policy,
        metadata=old.job_metadata,
        pipeline=pipeline,
        pipeline_name=old.pipeline_name,
        created_by=created_by,
        webhook=old.webhook,
    )
    row.model_version_id = old.model_version_id
    row.retry_of = old.id
    row.pilot_fit_digest = old.pilot_fit_digest
    row.job_fit_digest = old.job_fit_digest
    return row
