"""Trainings: what one may ask for, and how it tells of itself while it goes on."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api_schemas.ids import AnnotationSetId, ImageSetId

TrainingSetting = Literal["uda", "source_free", "black_box"]
MAX_STEPS: Final = 1_000_000


class TrainingSource(BaseModel):
    """Labelled images of the source domain."""

    model_config = ConfigDict(extra="forbid")

    annotations: AnnotationSetId = Field(description="An annotation set of purpose `source`")
    image_set: ImageSetId | None = Field(
        None, description="The image set that it belongs to, to be sure; may be left out"
    )


class TrainingProgress(BaseModel):
    """How a training goes. Numbers are those of the last step that was told."""

    stage: Literal["waiting", "fetching", "training", "storing", "done"] = Field(
        description="`waiting`: for the device, which others are to leave first"
    )
    step: int | None = None
    steps: int
    images: int | None = Field(None, description="Fetched so far")
    losses: dict[str, float] = Field(default_factory=dict)
    figures: dict[str, float | dict[str, float]] = Field(
        default_factory=dict,
        description="`pseudo_iou`: class → IoU of the model's predictions with the pseudo-labels",
    )
    images_per_second: float | None = None
    memory_bytes: float | None = None
