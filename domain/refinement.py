"""Use-cases of refine: labels that exist already → better ones; what stays the same is kept.

A refine job labels the image set of another job once more. Only what its pipeline or model
changes is computed: a label whose digest would be the same is taken over when the job is planned,
and the pilot of the other job is used again where it would sample and predict the same.
"""

from typing import Any, Final, Protocol

from sqlalchemy.orm import Session

from api_schemas.jobs import RefineJobCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import (
    NotFound,
    OntologyMismatch,
    ProblemError,
    StateConflict,
)
from domain import job_states, jobs, models
from domain.job_fields import common_fields, resolve_pipeline
from storage.catalog import chunks, items, labels
from storage.catalog import jobs as job_rows
from storage.catalog import models as model_rows
from storage.catalog.tables import LOCAL, JobRow, LabelRow, ModelVersionRow

MAX_PILOT_STEPS: Final = 20


class LabelIdentity(Protocol):
    """What the code that makes labels knows about them; `workers.reuse` implements it."""

    def is_current(self, label: LabelRow, stage: str) -> bool:
        """Whether this stage would do today what it did for this label."""
        ...

    def is_same(
        self, label: LabelRow, job: JobRow, config: PipelineConfig, version: ModelVersionRow
    ) -> bool:
        """Whether the job would make exactly this label again."""
        ...


def create_refine(
    session: Session,
    request: RefineJobCreate,
    max_queued: int,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that labels the images of another job anew, from the same labels if it had some.

    Raises:
        ProblemError: unknown or unfinished job, unknown model, classes that differ, stages that
            do not exist yet, no room.
    """
    source = _source(session, str(request.labels.job))
    image_set = jobs.get_ready_set(session, source.image_set_id or "")
    version = (
        current_version(session, source)
        if request.model is None
        else models.resolve(session, request.model)
    )
    if request.pipeline is None:
        config, pipeline_name = _config_of(session, source), source.pipeline_name
    else:
        config, pipeline_name = resolve_pipeline(session, request.pipeline)
    _check(session, source, version, config)
    total = image_set.accepted + image_set.duplicate + image_set.rejected
    params = {"refined_from": source.id, "follow_model": request.model is None}
    initial = source.params.get("initial_labels")
    if initial is not None:
        total = source.total
        params["initial_labels"] = initial
        config = config.model_copy(update={"select": None})
    jobs.check_room(session, total, max_queued)
    return jobs.new_job_row(
        session,
        job_type="refine",
        image_set_id=image_set.id,
        total=total,
        params=params,
        version=version,
        pipeline=config,
        pipeline_name=pipeline_name,
        **common_fields(session, request, created_by, schedule_id),
    )


def _source(session: Session, job_id: str) -> JobRow:
    job = jobs.get_job(session, job_id, to_refer=True)
    if job.type not in jobs.LABELLING_TYPES or not job_states.is_done(job):
        raise StateConflict(
            f"Job '{job_id}' is a {job.type} job in state {job.status}; labels.job needs a "
            "generate or refine job that is done."
        )
    return job


def _version_of(session: Session, job: JobRow) -> ModelVersionRow:
    version = model_rows.get_version(session, job.model_version_id or "")
    if version is None:
        raise NotFound(f"The model of job '{job.id}' is gone. Name one with `model`.")
    return version


def _config_of(session: Session, job: JobRow) -> PipelineConfig:
    return PipelineConfig.model_validate(job_rows.get_pipeline(session, job.pipeline_digest or ""))


def current_version(session: Session, source: JobRow) -> ModelVersionRow:
    """Return the version that is current of a job's model, or else the job's own."""
    own = _version_of(session, source)
    try:
        return models.resolve(session, own.model_name)
    except ProblemError:
        if own.deleted_at is not None:
            raise
        return own


def _check(
    session: Session, source: JobRow, version: ModelVersionRow, config: PipelineConfig
) -> None:
    names = [c["name"] for c in version.ontology["classes"]]
    own = [c["name"] for c in _version_of(session, source).ontology["classes"]]
    if names != own:
        raise OntologyMismatch(
            f"Model '{models.reference_of(version)}' has other classes than the labels of job "
            f"'{source.id}' ({', '.join(names)} instead of {', '.join(own)}). Name a model with "
            "the same classes, or start a generate job."
        )
    jobs.check_pipeline(session, config, version)


def begin(session: Session, job: JobRow, identity: LabelIdentity | None) -> None:
    """Settle, when a refine job starts, which model it uses and what it has from its source.

    Fails the job if its model and pipeline do not fit (any more).
    """
    job.params = {**job.params, "taken_over": 0}  # a retry comes with the figure of the old job
    source = job_rows.get_job(session, job.params.get("refined_from", ""))
    if source is None:  # uploaded labels, or deleted since: the job goes on with what it has
        return
    config = _config_of(session, job)
    try:
        if job.params.get("follow_model"):
            version = current_version(session, source)
            _check(session, source, version, config)
            job.model_version_id = version.id
            job.params = {**job.params, "follow_model": False}
    except ProblemError as error:
        job_states.fail_job(job, error)
        return
    if identity is not None and job.pilot_fit_digest is None:
        _inherit_pilot(session, job, source, config, identity)


def _inherit_pilot(
    session: Session,
    job: JobRow,
    source: JobRow,
    config: PipelineConfig,
    identity: LabelIdentity,
) -> None:
    """Use the source's pilot where its sample and predictions would be the same."""
    key = _pilot_key(session, job)
    if key is None or source.pilot_fit_digest is None or key != _pilot_key(session, source):
        return
    label = labels.first_label_of(session, source.id)
    judged = [name for name in ("predict", "rectify") if getattr(config, name) is not None]
    if label is None or not all(identity.is_current(label, stage) for stage in judged):
        return
    if config.select == _config_of(session, source).select and identity.is_current(label, "select"):
        job.pilot_fit_digest = source.pilot_fit_digest
        return
    sampled = _where_sampled(session, source)
    if sampled is not None and _pilot_key(session, sampled) == key:
        job.params = {**job.params, "pilot_of": sampled.id}


def _pilot_key(session: Session, job: JobRow) -> tuple[Any, ...] | None:
    """Return everything that the histograms of a pilot depend on; None if there is no pilot."""
    config = _config_of(session, job)
    version = model_rows.get_version(session, job.model_version_id or "")
    if version is None or not config.needs_pilot:
        return None
    stages = config.predict, config.rectify
    return version.digest, job.image_set_id, *stages, config.seed, config.pilot_images


def _where_sampled(session: Session, source: JobRow) -> JobRow | None:
    """Return the job whose pilot a job's thresholds came from, if it is still there."""
    found: JobRow | None = source
    for _ in range(MAX_PILOT_STEPS):
        if found is None or chunks.count_all(session, found.id, "pilot"):
            return found
        before = found.params.get("pilot_of") or found.retry_of or found.params.get("refined_from")
        found = job_rows.get_job(session, before) if before else None
    return None


def take_over(
    session: Session, job: JobRow, rows: list[dict[str, Any]], identity: LabelIdentity
) -> None:
    """Give those new items their label that the job would label exactly as its source did.

    Args:
        rows: the next items; an image has the same position in both jobs.
    """
    version = model_rows.get_version(session, job.model_version_id or "")
    if version is None or "refined_from" not in job.params:
        return
    config = _config_of(session, job)
    old_items = items.items_at(session, job.params["refined_from"], [r["position"] for r in rows])
    old_labels = labels.get_labels(session, [i.label_id for i in old_items.values() if i.label_id])
    taken = 0
    for row in rows:
        old = old_items.get(row["position"])
        label = old_labels.get(old.label_id or "") if old else None
        if label is None or label.deleted_at is not None:
            continue
        if row["status"] != "queued" or row["image_digest"] != label.image_digest:
            continue
        if identity.is_same(label, job, config, version):
            row |= {"status": "succeeded", "label_id": label.id, "quality": label.quality}
            taken += 1
    if taken:
        job.params = {**job.params, "taken_over": job.params["taken_over"] + taken}


def result_of(job: JobRow) -> dict[str, object]:
    """Return what a refine job tells at its end."""
    told = ("refined_from", "initial_labels", "taken_over")
    return {name: job.params[name] for name in told if name in job.params}
