"""Use-cases of trainings: a model, a label set of the target, and where there is one the source.

Labels of purpose `evaluation` are not read here: the sets of the catalog that this module looks
into give none.
"""

from typing import Final

from sqlalchemy.orm import Session

from api_schemas.jobs import TrainJobCreate
from api_schemas.problems import FieldProblem, OntologyMismatch, ValidationProblem
from domain import annotated_jobs, jobs, label_sets, models
from domain.job_fields import common_fields
from storage.catalog.annotations import count_annotations
from storage.catalog.tables import LOCAL, AnnotationSetRow, JobRow, LabelSetRow, ModelVersionRow

TRAINABLE_KINDS: Final = ("bundle", "huggingface")


def create_train(
    session: Session,
    request: TrainJobCreate,
    created_by: str = LOCAL,
    schedule_id: str | None = None,
) -> JobRow:
    """Create a job that trains a model on a label set.

    Raises:
        ProblemError: an unknown model, label set or annotation set; a model that cannot be trained;
            classes that differ; labels of the set that were deleted; a source without labels.
    """
    version = models.resolve(session, request.model)
    if version.kind not in TRAINABLE_KINDS:
        raise ValidationProblem(
            f"Model '{models.reference_of(version)}' is of kind '{version.kind}'; bundles and "
            "Hugging Face folders can be trained.",
            errors=[FieldProblem(pointer="/model", detail="cannot be trained")],
        )
    target = label_sets.require_whole(session, request.label_set)
    _check_classes(f"label set '{target.id}'", target, version)
    source = _source(session, request, version)
    return jobs.new_job_row(
        session,
        job_type="train",
        image_set_id=source.image_set_id if source else None,
        total=1,
        params={
            "label_set": target.id,
            "setting": request.setting,
            "source_annotations": source.id if source else None,
            "recipe": request.recipe.model_dump(mode="json", exclude_unset=True),
            "steps": request.steps,
            "seed": request.seed,
            "promote": request.promote,
        },
        version=version,
        **common_fields(session, request, created_by, schedule_id),
    )


def _source(
    session: Session, request: TrainJobCreate, version: ModelVersionRow
) -> AnnotationSetRow | None:
    if request.source is None:
        return None
    source = annotated_jobs.get_set(session, request.source.annotations, "source", "Trainings read")
    if request.source.image_set not in (None, source.image_set_id):
        raise ValidationProblem(
            f"Annotation set '{source.id}' belongs to image set '{source.image_set_id}'.",
            errors=[FieldProblem(pointer="/source/image_set", detail="another image set")],
        )
    jobs.get_ready_set(session, source.image_set_id)
    _check_classes(f"annotation set '{source.id}'", source, version)
    if count_annotations(session, source.id) == 0:
        raise ValidationProblem(f"Annotation set '{source.id}' has no labelled images.")
    return source


def _check_classes(
    what: str, labels: LabelSetRow | AnnotationSetRow, version: ModelVersionRow
) -> None:
    own = [c["name"] for c in labels.ontology["classes"]]
    names = [c["name"] for c in version.ontology["classes"]]
    if own != names:
        raise OntologyMismatch(
            f"The classes of {what} ({', '.join(own)}) are not those of model "
            f"'{models.reference_of(version)}' in the same order ({', '.join(names)})."
        )
