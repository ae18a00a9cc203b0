"""Labels: immutable results, one per distinct image, model, pipeline and fit."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api_schemas.image_sets import ImageSetReport
from api_schemas.jobs import Job, JobStatus, JobType
from api_schemas.ontologies import Ontology
from api_schemas.pipelines import PipelineConfig


class Label(BaseModel):
    """A pseudo-label. `quality` is the expected accuracy of the kept pixels."""

    id: str
    digest: str
    origin: Literal["pipeline", "review"] = Field(
        "pipeline", description="`review`: a person corrected the mask"
    )
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


class RegionMask(BaseModel):
    """A mask as COCO's compressed run lengths."""

    size: tuple[int, int] = Field(description="Height and width of the image")
    counts: str


class LabelRegion(BaseModel):
    """A region of a label, and what the stage `correct` made of it."""

    id: int
    segmentation: RegionMask
    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height in pixels")
    area: int = Field(description="Pixels")
    class_before: int = Field(description="The class that the region was given")
    class_after: int | None = Field(description="Null where it was rejected")
    decision: Literal["kept", "relabelled", "rejected"]
    posterior: float | None = Field(description="Probability that the class given is wrong")
    probability: float | None = Field(description="Of the class that the classifier favours")
    vote_share: float = Field(description="Of the kept pixels, by weight, that have the class")
    quality: float = Field(description="The region model's own estimate of the mask's IoU")
    confidence: float = Field(description="Mean probability of the predicted class")


class LabelRegions(BaseModel):
    """The artefact `regions.json` of a label whose pipeline has `aggregate` or `correct`."""

    format_version: int
    size: tuple[int, int] = Field(description="Height and width of the image")
    decided_by: Literal["job", "model", "none"] | None = Field(
        description="Whose classifier judged the regions; null without `correct`"
    )
    reason: str | None = Field(description="Why that one")
    regions: list[LabelRegion]


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
    campaign: str | None = Field(None, description="The campaign that the job is a step of …")
    round: int | None = Field(None, description="… and the round")


class RegionModelUse(BaseModel):
    """The region model that a label was made with."""

    reference: str = Field(description="`nano`, `graph` or `name:version`")
    digest: str = Field(description="SHA-256 over all that its masks depend on")


class Rectified(BaseModel):
    """What the stage `rectify` did to a label."""

    changed_fraction: float = Field(description="Share of the pixels whose class changed")
    calibrated: bool = Field(description="Whether its rectifier was fitted on labels")


class LabelLineage(BaseModel):
    """Everything that the bytes of a label depend on, and the jobs that show it."""

    label: str
    digest: str = Field(description="SHA-256 over all that the label depends on")
    image_digest: str
    model: str
    model_digest: str
    model_deleted: bool = Field(description="Its files are gone; the label stays")
    origin: Literal["pipeline", "review"] = "pipeline"
    corrected_from: str | None = Field(
        None, description="The label whose mask a person corrected, of one of origin `review`"
    )
    kept_label: str | None = Field(
        None, description="SHA-256 of the uploaded label that it was refined from"
    )
    rectified: Rectified | None = Field(None, description="By the stage `rectify`")
    region_model: RegionModelUse | None = Field(None, description="Of the stage `aggregate`")
    pipeline_digest: str
    pipeline: PipelineConfig
    pipeline_names: list[str] = Field(description="Named pipelines with this configuration")
    stage_versions: dict[str, int] = Field(description="Version of each stage's algorithm")
    pilot_fit: str | None = Field(description="Digest of the thresholds of the set")
    job_fit: str | None = Field(description="Digest of the fit of a job-wide correction")
    precision: str | None
    seed: int | None
    window_px: int | None
    notes: list[str] = Field(
        [], description="What a stage could not do; the label is then that of the stage before"
    )
    jobs: list[LabelJob] = Field(description="The first 100")
    more_jobs: bool
    created_at: datetime
    links: dict[str, str]


class PseudoLabelsCreated(BaseModel):
    """Answer to `POST /v1/pseudo-labels`: the image set with its per-file report, and the job."""

    image_set: ImageSetReport
    job: Job
