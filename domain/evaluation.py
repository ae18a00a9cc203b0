"""Use-cases of evaluation: the only place, with its worker, where evaluation truth is looked up."""

from sqlalchemy.orm import Session

from api_schemas.jobs import EvaluateJobCreate
from api_schemas.problems import NotFound, OntologyMismatch, StateConflict, ValidationProblem
from domain import job_states, jobs, models
from domain.annotated_jobs import get_set
from domain.job_fields import common_fields, resolve_pipeline
from storage.catalog import evaluation_annotations
from storage.catalog.models import get_version as get_version_row
from storage.catalog.tables import LOCAL, AnnotationSetRow, JobRow, ModelVersionRow


def create_evaluate(
    session: Session,
    request: EvaluateJobCreate,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that scores labels or a model against true labels.

    Raises:
        ProblemError: unknown set, job or model; both or neither given; classes that differ.
    """
    purposes = ("evaluation", "validation")
    truth = get_set(session, request.annotation_set, purposes, "Evaluate jobs read")
    if (request.model is None) == (request.labels_of_job is None):
        raise ValidationProblem("Give either `model` or `labels_of_job`, not both and not neither.")
    pipeline, pipeline_name = None, None
    if request.model is not None:
        version = models.resolve(session, request.model)
        pipeline, pipeline_name = resolve_pipeline(session, request.pipeline)
        jobs.check_pipeline(session, pipeline, version)
        if pipeline.needs_job_fit:
            raise ValidationProblem(
                "A model is evaluated image by image: give `correct` the fit 'model', or run a "
                "generate job and evaluate its labels with `labels_of_job`."
            )
        if pipeline.needs_pilot:
            raise ValidationProblem(
                "A model is evaluated image by image: leave `select` out, give fixed thresholds, "
                "or run a generate job and evaluate its labels with `labels_of_job`."
            )
    else:
        version = _version_of_labels(session, str(request.labels_of_job))
    _check_classes(truth, version)
    return jobs.new_job_row(
        session,
        job_type="evaluate",
        image_set_id=truth.image_set_id,
        total=evaluation_annotations.count_annotations(session, truth.id),
        params={"annotation_set": truth.id, "labels_of_job": request.labels_of_job},
        version=version,
        pipeline=pipeline,
        pipeline_name=pipeline_name,
        **common_fields(session, request, created_by, schedule_id),
    )


def _version_of_labels(session: Session, job_id: str) -> ModelVersionRow:
    job = jobs.get_job(session, job_id, to_refer=True)
    if job.type not in jobs.LABELLING_TYPES or not job_states.is_done(job):
        raise StateConflict(
            f"Job '{job_id}' is a {job.type} job in state {job.status}; labels_of_job needs a "
            "generate or refine job that is done."
        )
    version = get_version_row(session, job.model_version_id or "")
    if version is None:
        raise NotFound(f"The model of job '{job_id}' is gone.")
    return version


def _check_classes(truth: AnnotationSetRow, version: ModelVersionRow) -> None:
    true_names = [c["name"] for c in truth.ontology["classes"]]
    model_names = [c["name"] for c in version.ontology["classes"]]
    if true_names != model_names:
        unknown = [n for n in true_names if n not in model_names]
        missing = [n for n in model_names if n not in true_names]
        raise OntologyMismatch(
            f"The classes of annotation set '{truth.id}' and of model "
            f"'{models.reference_of(version)}' are not the same in the same order. Only in the "
            f"annotations: {', '.join(unknown) or 'none'}; only in the model: "
            f"{', '.join(missing) or 'none'}. Upload the annotations with the model's classes."
        )


def annotated_images(session: Session, annotation_set_id: str) -> list[tuple[str, str]]:
    """Return (external id, image digest) of every annotated image, in order; no labels."""
    found: list[tuple[str, str]] = []
    after = -1
    while page := evaluation_annotations.list_all_annotations(
        session, annotation_set_id, after_position=after
    ):
        found += [(row.external_id, row.image_digest) for row in page]
        after = page[-1].position
    return found
