"""Jobs and their items: what may be asked for, and what is told about it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from api_schemas.ids import AnnotationSetId, ImageSetId, JobId, LabelSetId
from api_schemas.json_types import Integer, Number, Truth
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import Problem
from api_schemas.recipes import TrainingRecipe
from api_schemas.training import (
    MAX_STEPS,
    TrainingProgress,
    TrainingSetting,
    TrainingSource,
)
from api_schemas.webhooks import JobWebhook

JobType = Literal[
    "generate",
    "refine",
    "evaluate",
    "adapt",
    "fit_connectivity",
    "fit_rectifier",
    "train",
    "ingest",
    "import",
    "push",
    "validate",
    "export",
]
JobStatus = Literal[
    "queued",
    "validating",
    "running",
    "finalizing",
    "cancelling",
    "succeeded",
    "partial",
    "failed",
    "cancelled",
    "expired",
]
DONE_STATUSES: Final = ("succeeded", "partial", "failed", "cancelled", "expired")
ItemStatus = Literal["queued", "running", "succeeded", "failed", "skipped", "cancelled"]

ModelReference = Annotated[str, Field(min_length=1, max_length=80, examples=["demo", "demo:2"])]
NO_ZERO_BYTE: Final = r"^[^\u0000]*$"  # PostgreSQL reads no text with one out of a document
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64, pattern=NO_ZERO_BYTE)],
        Annotated[str, StringConstraints(max_length=512, pattern=NO_ZERO_BYTE)],
    ],
    Field(max_length=32, description="Yours: up to 32 short strings, returned as they came"),
]


def _text_or_time(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("write a time as text, such as 2026-11-20T02:00:00Z")
    return value


Time = Annotated[
    AwareDatetime, BeforeValidator(_text_or_time), Field(examples=["2026-11-20T02:00:00Z"])
]
PipelineReference = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(@[1-9][0-9]{0,8})?$")
]
PipelineOrReference = Annotated[
    Annotated[PipelineConfig, Tag("config")] | Annotated[PipelineReference, Tag("name")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "config"),
    Field(description="A configuration, or the name of a stored one: `strict` or `strict@2`"),
]


class FailurePolicy(BaseModel):
    """When a job stops early. By default one bad image never fails a small job."""

    model_config = ConfigDict(extra="forbid")

    max_failed_fraction: Number = Field(0.5, gt=0.0, le=1.0)
    min_failed_images: Integer = Field(
        20, ge=1, description="The fraction counts only from this many failed images on"
    )
    max_attempts: Integer | None = Field(
        None,
        ge=1,
        le=10,
        description="An image on which a worker died so often is set aside as failed; by default "
        "SELVAGE_MAX_WORKER_KILLS. Other failures of an image are final at once.",
    )


class JobCreateBase(BaseModel):
    """What every job may ask for."""

    model_config = ConfigDict(extra="forbid")

    schedule_at: Time | None = Field(
        None, description="Not begun before; a time in the past means now"
    )
    deadline_at: Time | None = Field(
        None, description="What is not done by then is cancelled; the job ends `expired`"
    )
    priority: Integer = Field(0, ge=-100, le=100, description="Higher goes first")
    failure_policy: FailurePolicy = FailurePolicy()
    metadata: Metadata = Field(default_factory=dict)
    webhook: JobWebhook | None = Field(None, description="Whom to tell about this job")


class GenerateJobCreate(JobCreateBase):
    """Images and a model → labels."""

    type: Literal["generate"]
    image_set: ImageSetId
    model: ModelReference
    pipeline: PipelineOrReference = PipelineConfig()


class LabelsSource(BaseModel):
    """The labels that a refine job starts from: give one of the two."""

    model_config = ConfigDict(extra="forbid")

    job: JobId | None = Field(None, description="A generate or refine job that is done")
    annotation_set: AnnotationSetId | None = Field(
        None, description="An annotation set of purpose `initial`"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.job is None) == (self.annotation_set is None):
            raise ValueError("give either `job` or `annotation_set`")
        return self


class RefineJobCreate(JobCreateBase):
    """Images and the labels that they have → better labels; what stays the same is taken over."""

    type: Literal["refine"]
    labels: LabelsSource
    model: ModelReference | None = Field(
        None,
        description="By default the version of the labels' model that is current when this job "
        "starts; needed for an annotation set",
    )
    pipeline: PipelineOrReference | None = Field(
        None,
        description="By default the pipeline of the job whose labels are refined; for an "
        "annotation set `aggregate` and `correct`, and `select` is not used",
    )


class EvaluateJobCreate(JobCreateBase):
    """Labels of a job, or a model, against annotations of purpose `evaluation`."""

    type: Literal["evaluate"]
    annotation_set: AnnotationSetId
    labels_of_job: JobId | None = Field(None, description="Score the labels of this job …")
    model: ModelReference | None = Field(None, description="… or the argmax map of this model")
    pipeline: PipelineOrReference = Field(
        PipelineConfig(select=None), description="Used with `model`; without select by default"
    )


class AdaptJobCreate(JobCreateBase):
    """Re-estimate a model's normalisation statistics on unlabelled images → a new version."""

    type: Literal["adapt"]
    image_set: ImageSetId
    model: ModelReference
    sample_images: Integer = Field(128, ge=2, le=4096, description="Images used, chosen by digest")
    seed: Integer = Field(0, ge=0, lt=2**31)
    promote: Truth = Field(False, description="Let the bare model name mean the new version")


class FitConnectivityJobCreate(JobCreateBase):
    """Fit a model's classifier of regions on labelled source images → a new version with it."""

    type: Literal["fit_connectivity"]
    annotation_set: AnnotationSetId = Field(description="An annotation set of purpose `source`")
    model: ModelReference = Field(description="A bundle with the classes of the labels")
    pipeline: PipelineOrReference = Field(
        PipelineConfig.model_validate({"aggregate": {}}),
        description="How regions are made: its stages up to `aggregate`, with quantiles of each "
        "image by itself",
    )
    sample_images: Integer = Field(512, ge=2, le=4096, description="Images used, chosen by digest")
    views: Integer = Field(4, ge=1, le=16, description="Styles in which each image is seen")
    seed: Integer = Field(0, ge=0, lt=2**31)
    promote: Truth = Field(False, description="Let the bare model name mean the new version")


class FitRectifierJobCreate(JobCreateBase):
    """Fit a model's rectifier on labelled source images, or on images alone → a new version."""

    type: Literal["fit_rectifier"]
    annotation_set: AnnotationSetId | None = Field(
        None, description="An annotation set of purpose `source` …"
    )
    image_set: ImageSetId | None = Field(
        None,
        description="… or unlabelled images of the target: r is then what stays the same under "
        "changes of the image, and not calibrated",
    )
    model: ModelReference = Field(description="A bundle with the classes of the labels")
    pipeline: PipelineOrReference = Field(
        PipelineConfig(select=None),
        description="How the model looks at images: its stage `predict`; no other is used",
    )
    sample_images: Integer = Field(512, ge=8, le=4096, description="Images used, chosen by digest")
    seed: Integer = Field(0, ge=0, lt=2**31)
    promote: Truth = Field(False, description="Let the bare model name mean the new version")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.annotation_set is None) == (self.image_set is None):
            raise ValueError("give either `annotation_set` or `image_set`")
        return self


class TrainJobCreate(JobCreateBase):
    """Train a model on a label set of the target domain → a new version of it."""

    type: Literal["train"]
    model: ModelReference = Field(description="The bundle or Hugging Face folder to start from")
    label_set: LabelSetId = Field(description="Labels of the target domain, with its classes")
    setting: TrainingSetting = Field(
        "uda",
        description="`uda`: with labelled source images; `source_free` and `black_box`: without",
    )
    source: TrainingSource | None = Field(None, description="Needed for `uda`, and for it alone")
    recipe: TrainingRecipe = TrainingRecipe()
    steps: Integer = Field(2000, ge=1, le=MAX_STEPS)
    seed: Integer = Field(0, ge=0, lt=2**31)
    promote: Truth = Field(False, description="Let the bare model name mean the new version")

    @model_validator(mode="after")
    def _source_where_it_is_used(self) -> Self:
        if (self.setting == "uda") != (self.source is not None):
            raise ValueError("give `source` for the setting `uda`, and only for it")
        return self


JobCreate = Annotated[
    GenerateJobCreate
    | RefineJobCreate
    | EvaluateJobCreate
    | AdaptJobCreate
    | FitConnectivityJobCreate
    | FitRectifierJobCreate
    | TrainJobCreate,
    Field(discriminator="type"),
]


class RetryRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    only: Literal["failed", "all"] = "failed"


class ItemCounts(BaseModel):
    """Items by status; `total` is always the sum of the others."""

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


class StageCounts(BaseModel):
    name: str
    done: int = 0
    failed: int = 0


class Progress(BaseModel):
    """How far a job is. `fraction` counts images that are through; `step` says what goes on."""

    fraction: float = Field(ge=0.0, le=1.0)
    step: Literal[
        "plan",
        "ingest",
        "import",
        "push",
        "pilot",
        "label",
        "fit",
        "finish",
        "train",
        "export",
        "final",
        "done",
    ] = Field("label", description="pilot samples confidences of the set before the first label")
    step_fraction: float | None = Field(
        None, ge=0.0, le=1.0, description="Of the pilot, or of a training's steps"
    )
    images_per_second: float | None = None
    eta_seconds: float | None = None


class Job(BaseModel):
    """A durable piece of work. Never both `result` and `error`."""

    id: str
    type: JobType
    status: JobStatus
    done: bool
    image_set: str | None = None
    model: str | None = None
    region_model: str | None = Field(
        None, description="Of the stage `aggregate`: `nano`, `graph` or `name:version`"
    )
    pipeline: PipelineConfig | None = None
    pipeline_digest: str | None = None
    pipeline_name: str | None = Field(None, description="`name@version`, if it was asked for so")
    progress: Progress
    counts: ItemCounts
    stages: list[StageCounts]
    priority: int
    failure_policy: FailurePolicy
    metadata: dict[str, str]
    webhook: JobWebhook | None = None
    retry_of: str | None = None
    refined_from: str | None = Field(None, description="The job whose labels are refined")
    schedule: str | None = Field(None, description="The schedule that started it")
    schedule_at: datetime | None = None
    deadline_at: datetime | None = None
    created_at: datetime
    created_by: str = Field("local", description="Id of the API key; `local` without keys")
    started_at: datetime | None = None
    finished_at: datetime | None = None
    training: TrainingProgress | None = Field(None, description="Of a `train` job")
    result: dict[str, Any] | None = None
    error: Problem | None = None
    links: dict[str, str]


class JobPage(BaseModel):
    jobs: list[Job]
    next_page_token: str | None = None


class JobItem(BaseModel):
    """One line of a job per uploaded file."""

    id: str
    position: int
    external_id: str
    file_name: str
    image_digest: str | None = None
    status: ItemStatus
    attempts: int
    label_id: str | None = None
    quality: float | None = None
    stage_seconds: dict[str, float] | None = None
    error: Problem | None = None


class JobItemPage(BaseModel):
    items: list[JobItem]
    next_page_token: str | None = None


class ResultLine(BaseModel):
    """One line of `GET /v1/jobs/{id}/results` (JSON lines)."""

    external_id: str
    file_name: str
    status: ItemStatus
    label_id: str | None = None
    quality: float | None = None
    coverage: float | None = None
    label_url: str | None = None
    confidence_url: str | None = None
    regions_url: str | None = Field(None, description="Where the label is made of regions")
    error: Problem | None = None
