"""Use-cases of jobs that start from uploaded labels: refine them, fit a part of a model on them.

Labels of purpose `evaluation` are not read here: the sets of the catalog that this module looks
into give none.
"""

import heapq
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.jobs import FitConnectivityJobCreate, FitRectifierJobCreate, RefineJobCreate
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
LEAST_RECTIFIER_IMAGES: Final = 8  # some of them calibrate, and are not fitted on


def get_set(
    session: Session, annotation_set_id: str, purpose: str | tuple[str, ...], use: str
) -> AnnotationSetRow:
    """Return an annotation set of a purpose (of one of several), kept from being deleted meanwhile.

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
    purposes = (purpose,) if isinstance(purpose, str) else purpose
    if row.purpose not in purposes:
        named = " or ".join(f"'{one}'" for one in purposes)
        raise StateConflict(
            f"Annotation set '{row.id}' was uploaded with purpose '{row.purpose}'. {use} labels "
            f"of purpose {named}; upload them again with that purpose."
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
        ProblemError: see `_fit_job`; a region model that is not ready.
    """
    config, name = resolve_pipeline(session, request.pipeline)
    return _fit_job(
        session,
        request,
        config,
        fitted="classifier",
        least_images=LEAST_IMAGES,
        params={"views": request.views},
        pipeline_name=name,
        **common_fields(session, request, created_by, schedule_id),
    )


def create_fit_rectifier(
    session: Session,
    request: FitRectifierJobCreate,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that fits a model's rectifier on labelled source images, or on images alone.

    Raises:
        ProblemError: see `_fit_job`; an image set that is unknown, not ready or too small.
    """
    config, name = resolve_pipeline(session, request.pipeline)
    config = PipelineConfig(predict=config.predict, select=None)
    if request.image_set is not None:
        image_set = jobs.get_ready_set(session, request.image_set)
        version = _bundle(session, request.model, "rectifier")
        jobs.check_pipeline(session, config, version)
        return jobs.new_job_row(
            session,
            job_type=request.type,
            image_set_id=image_set.id,
            total=_enough(
                min(request.sample_images, image_set.accepted),
                LEAST_RECTIFIER_IMAGES,
                f"Image set '{image_set.id}' has {image_set.accepted} usable images",
            ),
            params={"seed": request.seed, "promote": request.promote},
            version=version,
            pipeline=config,
            pipeline_name=name,
            **common_fields(session, request, created_by, schedule_id),
        )
    return _fit_job(
        session,
        request,
        config,
        fitted="rectifier",
        least_images=LEAST_RECTIFIER_IMAGES,
        params={},
        pipeline_name=name,
        **common_fields(session, request, created_by, schedule_id),
    )


def _fit_job(
    session: Session,
    request: FitConnectivityJobCreate | FitRectifierJobCreate,
    config: PipelineConfig,
    *,
    fitted: str,
    least_images: int,
    params: dict[str, Any],
    **fields: Any,
) -> JobRow:
    """Create a job that fits a part of a bundle on labelled source images.

    Args:
        fitted: the part, as people call it.
        least_images: with fewer there is nothing to fit.
        params: of this type of job alone.
        fields: further arguments of `jobs.new_job_row`.

    Raises:
        ProblemError: unknown set, another purpose, too few images, a model that is no bundle or of
            other classes.
    """
    use = f"The {fitted} is fitted on"
    source = get_set(session, str(request.annotation_set), "source", use)
    jobs.get_ready_set(session, source.image_set_id)
    version = _bundle(session, request.model, fitted)
    _check_classes(source, version)
    jobs.check_pipeline(session, config, version)
    total = min(request.sample_images, count_annotations(session, source.id))
    _enough(total, least_images, f"Annotation set '{source.id}' has {total} labelled images")
    return jobs.new_job_row(
        session,
        job_type=request.type,
        image_set_id=source.image_set_id,
        total=total,
        params={
            "source_labels": source.id,
            "seed": request.seed,
            "promote": request.promote,
            **params,
        },
        version=version,
        pipeline=config,
        **fields,
    )


def _bundle(session: Session, reference: str, fitted: str) -> ModelVersionRow:
    """Return the version of a model that can carry the fitted part."""
    version = models.resolve(session, reference)
    if version.kind != "bundle":
        raise ValidationProblem(
            f"Model '{models.reference_of(version)}' is of kind '{version.kind}'; only bundles "
            f"carry a {fitted}."
        )
    return version


def _enough(total: int, least: int, found: str) -> int:
    """Return the number of images, refused if it is too small."""
    if total < least:
        raise ValidationProblem(f"{found}; at least {least} are needed.")
    return total


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
    """Return (external id, image digest) of the `size` labelled images of lowest rank.

    They come in the order of the set: who leaves some out to calibrate on them wants no neighbours
    of a sequence on both sides.
    """
    best: list[tuple[str, int, str, str]] = []
    after = -1
    while page := list_annotations(session, annotation_set_id, after_position=after):
        ranked = [(rank(r.image_digest), r.position, r.external_id, r.image_digest) for r in page]
        best = heapq.nsmallest(size, [*best, *ranked])
        after = page[-1].position
    in_order = sorted(best, key=lambda image: image[1])
    return [(external_id, digest) for _, _, external_id, digest in in_order]
