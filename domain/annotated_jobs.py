"""Use-cases of jobs that start from uploaded labels: refine them, fit a classifier on them.

Labels of purpose `evaluation` are not read here: the sets of the catalog that this module looks
into give none.
"""

import heapq
from collections.abc import Callable
from typing import Final

from sqlalchemy.orm import Session

from api_schemas.jobs import FitConnectivityJobCreate, RefineJobCreate
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import Gone, NotFound, OntologyMismatch, StateConflict, ValidationProblem
from domain import jobs, models
from domain.job_fields import common_fields, resolve_pipeline
from storage.catalog.annotations import count_annotations, get_annotation_set, list_annotations
from storage.catalog.locks import hold
from storage.catalog.tables import LOCAL, AnnotationSetRow, JobRow, ModelVersionRow

INITIAL_PIPELINE: Final = PipelineConfig.model_validate(
    {"select": None, "aggregate": {}, "correct": {}}
)
LEAST_IMAGES: Final = 2


def get_set(session: Session, annotation_set_id: str, purpose: str, use: str) -> AnnotationSetRow:
    """Return an annotation set of a purpose, kept from being deleted meanwhile.

    Args:
        use: what it is for, as `Refine jobs start`.

    Raises:
        NotFound: unknown set.
        Gone: it was deleted.
        StateConflict: its purpose is another one.
    """
    row = get_annotation_set(session, annotation_set_id)
    if row is None:
        raise NotFound(f"There is no annotation set '{annotation_set_id}'.")
    if hold(session, row).deleted_at is not None:
        raise Gone(f"Annotation set '{annotation_set_id}' was deleted. Upload the labels again.")
    if row.purpose != purpose:
        raise StateConflict(
            f"Annotation set '{row.id}' was uploaded with purpose '{row.purpose}'. {use} labels "
            f"of purpose '{purpose}'; upload them again with that purpose."
        )
    return row


def create_refine_initial(
    session: Session,
    request: RefineJobCreate,
    max_queued: int,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that grows and corrects uploaded labels.

    Raises:
        ProblemError: unknown set, another purpose, no model or one of other classes, a pipeline
            that would leave the labels as they are, no room.
    """
    initial = get_set(
        session, str(request.labels.annotation_set), "initial", "Refine jobs start from"
    )
    jobs.get_ready_set(session, initial.image_set_id)
    if request.model is None:
        raise ValidationProblem(
            "Name a `model` with the classes of the labels: uploaded labels are refined with its "
            "probabilities and features."
        )
    version = models.resolve(session, request.model)
    config, name = INITIAL_PIPELINE, None
    if request.pipeline is not None:
        config, name = resolve_pipeline(session, request.pipeline)
    if config.aggregate is None and config.correct is None:
        raise ValidationProblem(
            "This pipeline would leave the uploaded labels as they are. Give it `aggregate` or "
            "`correct`, or leave `pipeline` out."
        )
    # The uploaded labels stand in the place of what select would keep.
    config = config.model_copy(update={"select": None})
    _check_classes(initial, version)
    jobs.check_pipeline(session, config, version)
    total = count_annotations(session, initial.id)
    jobs.check_room(session, total, max_queued)
    return jobs.new_job_row(
        session,
        job_type="refine",
        image_set_id=initial.image_set_id,
        total=total,
        params={"initial_labels": initial.id},
        version=version,
        pipeline=config,
        pipeline_name=name,
        **common_fields(session, request, created_by, schedule_id),
    )


def create_fit_connectivity(
    session: Session,
    request: FitConnectivityJobCreate,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that fits a model's classifier of regions on labelled source images.

    Raises:
        ProblemError: unknown set, another purpose, too few images, a model that is no bundle or of
            other classes, a region model that is not ready.
    """
    source = get_set(session, request.annotation_set, "source", "The classifier is fitted on")
    jobs.get_ready_set(session, source.image_set_id)
    version = models.resolve(session, request.model)
    if version.kind != "bundle":
        raise ValidationProblem(
            f"Model '{models.reference_of(version)}' is of kind '{version.kind}'; only bundles "
            "carry a classifier of regions."
        )
    config, name = resolve_pipeline(session, request.pipeline)
    _check_classes(source, version)
    jobs.check_pipeline(session, config, version)
    total = min(request.sample_images, count_annotations(session, source.id))
    if total < LEAST_IMAGES:
        raise ValidationProblem(
            f"Annotation set '{source.id}' has {total} labelled images; at least {LEAST_IMAGES} "
            "are needed."
        )
    return jobs.new_job_row(
        session,
        job_type="fit_connectivity",
        image_set_id=source.image_set_id,
        total=total,
        params={
            "source_labels": source.id,
            "seed": request.seed,
            "views": request.views,
            "promote": request.promote,
        },
        version=version,
        pipeline=config,
        pipeline_name=name,
        **common_fields(session, request, created_by, schedule_id),
    )


def _check_classes(labels: AnnotationSetRow, version: ModelVersionRow) -> None:
    own = [c["name"] for c in labels.ontology["classes"]]
    names = [c["name"] for c in version.ontology["classes"]]
    if own != names:
        raise OntologyMismatch(
            f"The classes of annotation set '{labels.id}' ({', '.join(own)}) are not those of "
            f"model '{models.reference_of(version)}' in the same order ({', '.join(names)}). "
            "Upload the labels with the model's classes."
        )


def labelled_images(
    session: Session, annotation_set_id: str, *, after_position: int, limit: int
) -> list[tuple[str, str]]:
    """Return (external id, image digest) of labelled images, in order."""
    rows = list_annotations(session, annotation_set_id, after_position=after_position, limit=limit)
    return [(row.external_id, row.image_digest) for row in rows]


def sample_of_labelled(
    session: Session, annotation_set_id: str, size: int, rank: Callable[[str], str]
) -> list[tuple[str, str]]:
    """Return (external id, image digest) of the `size` labelled images of lowest rank."""
    best: list[tuple[str, str, str]] = []
    after = -1
    while page := list_annotations(session, annotation_set_id, after_position=after):
        ranked = [(rank(row.image_digest), row.external_id, row.image_digest) for row in page]
        best = heapq.nsmallest(size, [*best, *ranked])
        after = page[-1].position
    return [(external_id, digest) for _, external_id, digest in best]
