"""Imports of labels that people corrected in a tool."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api_schemas.ids import ImageSetId, JobId, UploadId
from api_schemas.jobs import Metadata

ImportFormat = Literal["index_png", "label_studio", "cvat", "coco"]


class ImportCreate(BaseModel):
    """A file with corrected masks of the images of a set, uploaded before."""

    model_config = ConfigDict(extra="forbid")

    image_set: ImageSetId
    format: ImportFormat
    upload: UploadId = Field(description="A complete upload: POST /v1/uploads")
    job: JobId | None = Field(
        None,
        description="Whose labels were corrected; by default the newest job that labelled the set",
    )
    unknown_classes: Literal["refuse", "ignore"] = Field(
        "refuse", description="Masks with other classes are refused, or those pixels ignored"
    )
    metadata: Metadata = Field(default_factory=dict)
