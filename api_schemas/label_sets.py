"""Label sets: frozen selections of labels, for training and for exports."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.ids import AnnotationSetId, JobId
from api_schemas.jobs import NO_ZERO_BYTE
from api_schemas.json_types import Integer, Number, Truth
from api_schemas.ontologies import Ontology

MAX_LABELS: Final = 100_000
LabelSetStatus = Literal["freezing", "ready"]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=NO_ZERO_BYTE)]


class LabelSelection(BaseModel):
    """Which labels get in. Labels without a kept pixel never do, nor those that a review rejected.

    Limits on quality, coverage and classes hold for labels that a job made; what people labelled,
    corrected or accepted is taken as it is.
    """

    model_config = ConfigDict(extra="forbid")

    min_quality: Number | None = Field(
        None, ge=0.0, le=1.0, description="Least expected accuracy of the kept pixels"
    )
    min_coverage: Number = Field(0.0, ge=0.0, le=1.0, description="Least share of kept pixels")
    reviewed_only: Truth = Field(
        False, description="Only labels that people corrected or accepted, and annotations"
    )
    classes: list[ClassName] | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Only images that show one of these, on at least a thousandth of their pixels",
    )
    max_images: Integer | None = Field(None, ge=1, le=MAX_LABELS)
    balance: Literal["none", "classes"] = Field(
        "none",
        description="What `max_images` leaves out: the labels of least quality, or those whose "
        "classes many images show already",
    )
    reviewed_weight: Number = Field(
        1.0, gt=0.0, le=100.0, description="How much a reviewed label counts in training"
    )

    @model_validator(mode="after")
    def _balance_needs_a_limit(self) -> Self:
        if self.balance != "none" and self.max_images is None:
            raise ValueError("balance decides what max_images leaves out: give max_images")
        return self


class LabelSetCreate(BaseModel):
    """Labels of jobs, of people, or of both. Of an image with several labels one is taken: that of
    the annotation set, else the one that reviews corrected or accepted last, else that of the job
    named last.
    """

    model_config = ConfigDict(extra="forbid")

    name: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=256, pattern=r"^[^\u0000-\u001f\u007f]+$"),
        ]
        | None
    ) = None
    jobs: list[JobId] = Field(
        default_factory=list, max_length=100, description="Generate or refine jobs that are done"
    )
    annotation_set: AnnotationSetId | None = Field(
        None, description="Labels by people: an annotation set of purpose `initial`"
    )
    selection: LabelSelection = LabelSelection()

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        if not self.jobs and self.annotation_set is None:
            raise ValueError("give `jobs`, `annotation_set` or both")
        if len(set(self.jobs)) != len(self.jobs):
            raise ValueError("name each job once")
        return self


class LabelSet(BaseModel):
    """An immutable selection. Figures of quality, coverage and classes are of labels, those of
    reviews among them, and not of annotations.
    """

    id: str
    name: str | None
    status: LabelSetStatus
    digest: str | None = Field(
        description="SHA-256 over classes, images, label bytes and weights; null while freezing"
    )
    ontology: Ontology
    jobs: list[str]
    annotation_set: str | None
    selection: LabelSelection
    images: int
    reviewed: int = Field(description="Images whose label people made, corrected or accepted")
    missing: int = Field(description="Labels that were deleted since, by force; 0 as a rule")
    quality: float | None = Field(description="Mean quality of the labels")
    coverage: float | None = Field(description="Mean share of kept pixels")
    class_pixels: dict[str, int] = Field(description="Kept pixels by class name")
    class_images: dict[str, int] = Field(description="Images that show the class")
    campaign: str | None = Field(description="The campaign that it was frozen for")
    round: int | None
    created_at: datetime
    created_by: str
    links: dict[str, str]


class LabelSetPage(BaseModel):
    label_sets: list[LabelSet]
    next_page_token: str | None = None


class LabelSetEntry(BaseModel):
    """One image of a label set, with the label of a job or one by people."""

    position: int
    external_id: str
    image_digest: str
    label_id: str | None = Field(description="Null for a label by people, or one that was deleted")
    reviewed: bool
    missing: bool = Field(description="Its label was deleted since")
    weight: float
    quality: float | None = None
    coverage: float | None = None
    links: dict[str, str]


class LabelSetEntryPage(BaseModel):
    entries: list[LabelSetEntry]
    next_page_token: str | None = None
