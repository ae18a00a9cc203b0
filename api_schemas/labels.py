"""Labels: immutable results, one per distinct image, model, pipeline and fit."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api_schemas.image_sets import ImageSetReport
from api_schemas.jobs import Job, JobStatus, JobType
from api_schemas.ontologies import Ontology
from api_schemas.pipelines import PipelineConfig


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


class LabelJob(BaseModel):
    """A job that shows a label, and where."""

    job: str
    type: JobType
    status: JobStatus
    position: int
    external_id: str


class LabelLineage(BaseModel):
    """Everything that the bytes of a label depend on, and the jobs that show it."""

    label: str
    digest: str = Field(description="SHA-256 over all that the label depends on")
    image_digest: str
    model: str
    model_digest: str
    model_deleted: bool = Field(description="Its files are gone; the label stays")
    pipeline_digest: str
    pipeline: PipelineConfig
    pipeline_names: list[str] = Field(description="Named pipelines with this configuration")
    stage_versions: dict[str, int] = Field(description="Version of each stage's algorithm")
    pilot_fit: str | None = Field(description="Digest of the thresholds of the set")
    job_fit: str | None = Field(description="Digest of the fit of a job-wide correction")
    precision: str | None
    seed: int | None
    window_px: int | None
    jobs: list[LabelJob] = Field(description="The first 100")
    more_jobs: bool
    created_at: datetime
    links: dict[str, str]


class PseudoLabelsCreated(BaseModel):
    """Answer to `POST /v1/pseudo-labels`: the image set with its per-file report, and the job."""

    image_set: ImageSetReport
    job: Job
