"""Region models: which one the stage `aggregate` of a job uses, settled when the job is created.

Two are built in. All others are versions of models in the catalog, registered like segmenters and
told apart from them by their kind; a name means versions of one of the two sorts only.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.models import BUILT_IN_REGION_MODELS, REGION_MODEL_KIND
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import FieldProblem, Gone, NotFound, ProblemError, ValidationProblem
from domain import models
from storage.catalog import models as model_rows
from storage.catalog.locks import hold
from storage.catalog.tables import JobRow, ModelVersionRow

POINTER: Final = "/pipeline/aggregate/region_model"


@dataclass(frozen=True)
class PinnedRegionModel:
    """The region model of a job; it never changes.

    Attributes:
        reference: `nano`, `graph` or `name:version`.
        version_id: of the model version; None if it is built in.
        digest: of that version; of what is built in the workers know it.
    """

    reference: str
    version_id: str | None = None
    digest: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def pin(session: Session, config: PipelineConfig) -> PinnedRegionModel | None:
    """Return the region model that a pipeline means now; None without `aggregate`.

    Raises:
        NotFound: neither built in nor registered.
        Gone: the version was deleted.
        ModelNotReady: the version was rejected, or is still being checked.
        ValidationProblem: it is a segmenter.
    """
    if config.aggregate is None:
        return None
    reference = config.aggregate.region_model
    if reference in BUILT_IN_REGION_MODELS:
        return PinnedRegionModel(reference)
    version = _resolve(session, reference)
    return PinnedRegionModel(models.reference_of(version), version.id, version.digest)


def pinned(job: JobRow) -> PinnedRegionModel | None:
    """Return the region model of a job."""
    stored = job.params.get("region_model")
    return None if stored is None else PinnedRegionModel(**stored)


def require(session: Session, job: JobRow) -> None:
    """Refuse to work again with a region model that was deleted, and keep it from being so.

    Raises:
        Gone: it was deleted.
    """
    found = pinned(job)
    if found is None or found.version_id is None:
        return
    version = model_rows.get_version(session, found.version_id)
    if version is None or hold(session, version).deleted_at is not None:
        raise Gone(
            f"The region model '{found.reference}' of job '{job.id}' was deleted. Start a new job "
            "with another one."
        )


def _resolve(session: Session, reference: str) -> ModelVersionRow:
    built_in = f"Built in: {', '.join(BUILT_IN_REGION_MODELS)}."
    try:
        version = models.resolve_any(session, reference)
    except NotFound as error:
        raise NotFound(
            f"There is no region model '{reference}'. {built_in} Those of Segment Anything are had "
            "with `selvage models pull sam_vit_b` on the machine.",
            errors=[FieldProblem(pointer=POINTER, detail="unknown")],
        ) from error
    except ProblemError as error:
        error.errors = [FieldProblem(pointer=POINTER, detail="cannot be used now")]
        raise
    if version.kind != REGION_MODEL_KIND:
        raise ValidationProblem(
            f"Model '{models.reference_of(version)}' is a segmenter, no region model. {built_in} "
            "Others come with `selvage models pull`.",
            errors=[FieldProblem(pointer=POINTER, detail="a segmenter")],
        )
    return version
