"""Campaigns: rounds of labels and training, each with the gates that decide what comes of it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.ids import AnnotationSetId, ImageSetId
from api_schemas.jobs import Metadata, ModelReference, PipelineOrReference
from api_schemas.json_types import Integer, Number, Truth
from api_schemas.label_sets import LabelSelection
from api_schemas.pipelines import PipelineConfig
from api_schemas.problems import Problem
from api_schemas.recipes import TrainingRecipe

CampaignStatus = Literal[
    "running", "paused", "stopping", "succeeded", "halted", "failed", "stopped"
]
ENDED_CAMPAIGNS: Final = ("succeeded", "halted", "failed", "stopped")
RoundStatus = Literal["running", "promoted", "kept_teacher", "failed", "stopped"]
StepName = Literal[
    "adapt", "baseline", "generate", "freeze", "check_labels", "train", "evaluate", "decide"
]
StepStatus = Literal["running", "done", "skipped", "failed"]
Setting = Literal["uda", "source_free", "black_box"]
CampaignEventType = Literal[
    "campaign.snapshot",
    "campaign.status",
    "round.status",
    "step.status",
    "model.promoted",
    "campaign.done",
]
CAMPAIGN_EVENT_TYPES: Final[tuple[CampaignEventType, ...]] = (
    "campaign.snapshot",
    "campaign.status",
    "round.status",
    "step.status",
    "model.promoted",
    "campaign.done",
)


class CampaignSource(BaseModel):
    """Labelled images of the source domain."""

    model_config = ConfigDict(extra="forbid")

    annotations: AnnotationSetId = Field(description="An annotation set of purpose `source`")
    image_set: ImageSetId | None = Field(
        None, description="The image set that it belongs to, to be sure; may be left out"
    )


class Gates(BaseModel):
    """What a round has to pass. Gates before training look at the label set of the round."""

    model_config = ConfigDict(extra="forbid")

    min_images: Integer = Field(1, ge=1, description="Least images of the label set")
    min_coverage: Number = Field(
        0.05, ge=0.0, le=1.0, description="Least mean share of kept pixels of the labels"
    )
    max_class_share: Number = Field(
        0.98, gt=0.0, le=1.0, description="Largest share of the kept pixels that one class may have"
    )
    collapse_ratio: Number = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="A class has collapsed if its share of the kept pixels is below this share of "
        "what it was in the round before",
    )
    max_collapsed_classes: Integer = Field(0, ge=0, le=255)
    max_label_drift: Number = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Largest mean distance of the class shares of an image to those of the round "
        "before (half the sum of absolute differences); no more pixels than this changed for sure",
    )
    max_miou_drop: Number = Field(
        0.02,
        ge=0.0,
        le=1.0,
        description="How much worse than its teacher a model may be on labels of purpose "
        "`validation`; not used with others",
    )
    after_a_drop: Literal["halt", "continue"] = Field(
        "halt", description="`continue`: the teacher is kept, the next round has another seed"
    )


class CampaignCreate(BaseModel):
    """A model, unlabelled images of a new domain, and how the rounds go."""

    model_config = ConfigDict(extra="forbid")

    name: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=128, pattern=r"^[^\u0000-\u001f\u007f]+$"),
        ]
        | None
    ) = None
    model: ModelReference = Field(description="The first teacher: a bundle")
    target: ImageSetId = Field(description="Images of the new domain, without labels")
    setting: Setting = Field(
        "uda",
        description="`uda`: with labelled source images; `source_free` and `black_box`: without",
    )
    source: CampaignSource | None = Field(None, description="Needed for `uda`, and for it alone")
    pipeline: PipelineOrReference = PipelineConfig()
    selection: LabelSelection = Field(
        LabelSelection(), description="Which labels of a round are trained on"
    )
    reviewed: AnnotationSetId | None = Field(
        None,
        description="Labels of target images by people: an annotation set of purpose `initial`",
    )
    recipe: TrainingRecipe = TrainingRecipe()
    rounds: Integer = Field(3, ge=1, le=50)
    steps: Integer = Field(2000, ge=1, le=1_000_000, description="Of the training of each round")
    seed: Integer = Field(0, ge=0, lt=2**31 - 50, description="Round n trains with seed + n - 1")
    adapt: Truth = Field(
        True, description="Re-estimate the statistics of normalisation layers first, in round 1"
    )
    gates: Gates = Gates()
    evaluation: AnnotationSetId | None = Field(
        None,
        description="Measures each model. Of purpose `evaluation` it is only reported; of purpose "
        "`validation` it steers `max_miou_drop`, and models then say `selected_with_labels`",
    )
    promote: Truth = Field(
        False, description="Let the bare model name mean the model of each round that passed"
    )
    priority: Integer = Field(0, ge=-100, le=100, description="Of all jobs")
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _source_where_it_is_used(self) -> Self:
        if (self.setting == "uda") != (self.source is not None):
            raise ValueError("give `source` for the setting `uda`, and only for it")
        if self.selection.reviewed_only and self.reviewed is None:
            raise ValueError("selection.reviewed_only keeps images of `reviewed`: give it")
        return self


class GateResult(BaseModel):
    """What a gate saw. One that does not apply, in the first round for instance, is passed."""

    gate: str
    passed: bool
    value: float | None = Field(None, description="Null where the gate does not apply")
    limit: float
    detail: str


class CampaignStep(BaseModel):
    """A step of a round; most are jobs."""

    step: StepName
    status: StepStatus
    job: str | None = None
    detail: str | None = Field(None, description="Why it was skipped, or what failed")
    started_at: datetime
    finished_at: datetime | None = None


class Scores(BaseModel):
    """What an evaluation measured of a model."""

    model: str
    miou: float | None = None
    iou: dict[str, float | None] = Field(default_factory=dict)
    job: str | None = None


class Round(BaseModel):
    """One round: everything that its model came from, and what became of it."""

    campaign: str
    number: int
    status: RoundStatus
    teacher: str = Field(description="The model that labelled")
    model: str | None = Field(None, description="The model that was trained")
    label_set: str | None = None
    pipeline_digest: str
    seed: int
    steps: list[CampaignStep]
    gates: list[GateResult]
    teacher_scores: Scores | None = None
    scores: Scores | None = None
    selected_with_labels: bool = Field(
        False, description="Labels of purpose `validation` had a say in what became of the model"
    )
    reason: Problem | None = Field(None, description="Why the teacher was kept, or what failed")
    started_at: datetime
    finished_at: datetime | None = None
    links: dict[str, str]


class CampaignProgress(BaseModel):
    """Where a campaign is. `fraction` counts the steps of all rounds."""

    fraction: float = Field(ge=0.0, le=1.0)
    round: int
    rounds: int
    step: StepName | None = None
    job: str | None = None
    job_fraction: float | None = None
    waiting: Problem | None = Field(None, description="Why the next step cannot begin yet")


class Campaign(BaseModel):
    """A self-training campaign. `teacher` is the model that stands at the moment."""

    id: str
    name: str | None
    status: CampaignStatus
    done: bool
    setting: Setting
    model: str = Field(description="The model that it began with")
    teacher: str
    target: str
    source: str | None = Field(None, description="Annotation set of the source")
    evaluation: str | None = None
    config: dict[str, Any] = Field(description="All that was asked for")
    pipeline_digest: str
    progress: CampaignProgress
    reason: Problem | None = Field(None, description="Why it ended before its last round")
    metadata: dict[str, str]
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
    links: dict[str, str]


class CampaignPage(BaseModel):
    campaigns: list[Campaign]
    next_page_token: str | None = None


class RoundPage(BaseModel):
    """In order."""

    rounds: list[Round]


class CampaignFacts(BaseModel):
    """`campaign.status` and `campaign.done`."""

    campaign: str
    status: CampaignStatus
    round: int
    teacher: str
    reason: Problem | None = None


class RoundEvent(BaseModel):
    """`round.status`."""

    campaign: str
    round: int
    status: RoundStatus
    model: str | None = None
    reason: Problem | None = None


class StepEvent(BaseModel):
    """`step.status`."""

    campaign: str
    round: int
    step: StepName
    status: StepStatus
    job: str | None = None


class PromotionEvent(BaseModel):
    """`model.promoted`: the bare name means this version now."""

    campaign: str
    round: int
    model: str
