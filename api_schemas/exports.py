"""Exports: labels in the format of a tool, as a zip or below a prefix of a bucket."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.ids import ImageSetId, JobId, LabelSetId
from api_schemas.jobs import ItemCounts, JobStatus, Metadata, Progress
from api_schemas.json_types import Integer, Number, Truth
from api_schemas.label_sets import ClassName
from api_schemas.problems import Problem

ExportFormat = Literal[
    "mask-png",
    "cityscapes",
    "cityscapes-cvat",
    "coco",
    "coco-panoptic",
    "cvat-mask",
    "label-studio",
    "hf-segmentation",
    "hf-datasets",
    "soft-labels",
]
MAX_ADDRESS_CHARS: Final = 1024
_SLUG: Final = r"^[A-Za-z0-9][A-Za-z0-9-]*$"  # no `_`, which parts the names of Cityscapes
_PRINTABLE: Final = r"^[^\u0000-\u001f\u007f]*$"


class ExportSource(BaseModel):
    """Whose labels: give one of the three."""

    model_config = ConfigDict(extra="forbid")

    job: JobId | None = Field(None, description="A generate or refine job that is done")
    label_set: LabelSetId | None = None
    image_set: ImageSetId | None = Field(
        None, description="The newest label of each image, whatever job made it"
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [self.job, self.label_set, self.image_set]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give one of `job`, `label_set` and `image_set`")
        return self


class ExportFilters(BaseModel):
    """Which labels get in, and which of their classes."""

    model_config = ConfigDict(extra="forbid")

    min_quality: Number | None = Field(
        None, ge=0.0, le=1.0, description="Least expected accuracy; labels by people always get in"
    )
    min_coverage: Number = Field(0.0, ge=0.0, le=1.0, description="Least share of kept pixels")
    reviewed_only: Truth = Field(False, description="Only labels that people made or accepted")
    classes: list[ClassName] | None = Field(
        None,
        min_length=1,
        max_length=255,
        description="Only these are written, other pixels are ignored ones; labels that show none "
        "of them are left out",
    )


class ExportOptions(BaseModel):
    """How to export, where a format leaves a choice. Options of other formats do nothing."""

    model_config = ConfigDict(extra="forbid")

    include_images: Truth | None = Field(
        None, description="Put the images in as well. By default for `hf-datasets` only"
    )
    split: Annotated[str, StringConstraints(pattern=_SLUG, max_length=64)] = Field(
        "train", description="Name of the part of a data set that this is"
    )
    components: Truth = Field(
        False,
        description="coco, label-studio, cityscapes-cvat: a region for each connected part of a "
        "class, not one for each class",
    )
    iscrowd: Truth = Field(False, description="coco: annotations have `iscrowd` 1")
    city: Annotated[str, StringConstraints(pattern=_SLUG, max_length=64)] = Field(
        "selvage", description="cityscapes: the city in names of images that have none"
    )
    class_map: dict[ClassName, ClassName] = Field(
        default_factory=dict,
        max_length=255,
        description="cityscapes: our class name → name of a label of Cityscapes",
    )
    image_url: Annotated[
        str, StringConstraints(min_length=1, max_length=MAX_ADDRESS_CHARS, pattern=_PRINTABLE)
    ] = Field(
        "{external_id}",
        description="label-studio: address of an image, with `{external_id}` or `{stem}` in it",
        examples=["s3://bucket/night/{external_id}"],
    )
    model_version: (
        Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_PRINTABLE)] | None
    ) = Field(
        None,
        description="label-studio: what the predictions are called; by default the model of the "
        "labels",
    )


class ExportDestination(BaseModel):
    """A prefix of a bucket, file by file. `export.json` comes last and says that all is there."""

    model_config = ConfigDict(extra="forbid")

    connection: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="Id or name of a connection of kind `s3` that may write"
    )
    prefix: Annotated[str, StringConstraints(max_length=512, pattern=_PRINTABLE)] = Field(
        description="Below the connection's own prefix; ends in a slash, or is empty",
        examples=["exports/night-1/"],
    )

    @model_validator(mode="after")
    def _is_a_folder(self) -> Self:
        parts = self.prefix.split("/")
        if self.prefix and (parts[-1] or any(part in ("", ".", "..") for part in parts[:-1])):
            raise ValueError("prefix must end in a slash and have no empty, '.' or '..' parts")
        return self


class ExportRequest(BaseModel):
    """What to export, and as what."""

    model_config = ConfigDict(extra="forbid")

    format: ExportFormat
    source: ExportSource
    filters: ExportFilters = ExportFilters()
    options: ExportOptions = ExportOptions()


class ExportCreate(ExportRequest):
    destination: ExportDestination | None = Field(
        None, description="Left out: a zip to be downloaded"
    )
    priority: Integer = Field(0, ge=-100, le=100, description="Higher goes first")
    metadata: Metadata = Field(default_factory=dict)


class ExportLoss(BaseModel):
    """Something that does not come over as it is."""

    code: str = Field(examples=["classes-unmapped"])
    detail: str
    is_loss: bool = Field(
        description="Pixels or classes do not come back as they were; else it is a remark"
    )
    may_happen: bool = Field(
        description="It depends on what the labels hold, which a dry run does not look at"
    )
    labels: int | None = Field(None, description="How many labels it was met in")


class ExportReport(BaseModel):
    """What was left out, and what does not come over as it is."""

    labels: int = Field(description="Labels that get in")
    left_out: dict[str, int] = Field(
        description="Labels that do not, by reason: `low-quality`, `low-coverage`, `rejected`, "
        "`not-reviewed`, `without-the-classes`, `other-classes`, `no-label`"
    )
    losses: list[ExportLoss]
    lossless: bool = Field(description="No loss among `losses` but such as may happen")


class Export(BaseModel):
    """An export. Its id is that of its job, whose events and items it has."""

    id: str
    format: ExportFormat
    status: JobStatus
    done: bool
    source: ExportSource
    filters: ExportFilters
    options: ExportOptions
    destination: ExportDestination | None
    strict: bool
    progress: Progress
    counts: ItemCounts
    report: ExportReport | None = Field(description="When it is done")
    size_bytes: int | None = Field(None, description="Of the zip")
    sha256: str | None = Field(None, description="Of the zip")
    files: int | None = Field(None, description="How many files there are")
    expires_at: datetime | None = Field(None, description="The zip is kept until then")
    metadata: dict[str, str]
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    error: Problem | None
    links: dict[str, str] = Field(
        description="`download` is there as soon as there is a whole file, and no sooner"
    )


class ExportPage(BaseModel):
    exports: list[Export]
    next_page_token: str | None = None
