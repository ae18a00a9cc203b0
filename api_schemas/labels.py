"""Labels: immutable results, one per distinct image, model, pipeline and fit."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api_schemas.image_sets import ImageSetReport
from api_schemas.jobs import Job
from api_schemas.ontologies import Ontology


class Label(BaseModel):
    """A pseudo-label. `quality` is the expected accuracy of the kept pixels."""

    id: str
    digest: str
    image_digest: str
    model: str
    pipeline_digest: str
    width_px: int
    height_px: int
    coverage: float = Field(description="Share of pixels that carry a class", ge=0, le=1)
    quality: float | None = Field(
        description="Mean confidence of the kept pixels; null when none is kept"
    )
    calibrated: bool = Field(
        description="False: quality ranks images, it is no promise of an accuracy"
    )
    class_pixels: dict[str, int]
    ontology: Ontology
    lineage: dict[str, Any]
    artifacts: dict[str, str] = Field(description="Artefact name → address")
    created_at: datetime


class FileLink(BaseModel):
    """An address from which anybody can read one file for a while."""

    url: str
    expires_at: datetime


class PseudoLabelsCreated(BaseModel):
    """Answer to `POST /v1/pseudo-labels`: the image set with its per-file report, and the job."""

    image_set: ImageSetReport
    job: Job
