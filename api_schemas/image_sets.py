"""Image sets: what was uploaded, file by file, and what became of each."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api_schemas.problems import Problem

EntryStatus = Literal["accepted", "duplicate", "rejected"]


class ImageSetCounts(BaseModel):
    """`total` is always the sum of the other three."""

    total: int = 0
    accepted: int = 0
    duplicate: int = Field(0, description="Same content as an earlier file; shares its label")
    rejected: int = 0


class ImageSetEntry(BaseModel):
    """One uploaded file. Sizes are those of the upright image (EXIF orientation applied)."""

    file_name: str
    external_id: str
    status: EntryStatus
    image_digest: str | None = Field(None, description="SHA-256 of the file")
    width_px: int | None = None
    height_px: int | None = None
    duplicate_of: str | None = Field(None, description="external_id of the first such file")
    note: str | None = Field(None, description="Something odd that did no harm")
    problem: Problem | None = None


class ImageSet(BaseModel):
    id: str
    name: str | None = None
    status: Literal["receiving", "ready"]
    counts: ImageSetCounts
    created_at: datetime
    created_by: str = Field("local", description="Id of the API key; `local` without keys")
    links: dict[str, str]


class ImageSetReport(ImageSet):
    """An image set with what happened to its first files; the rest is at `links.images`."""

    files: list[ImageSetEntry]


class ImageSetPage(BaseModel):
    image_sets: list[ImageSet]
    next_page_token: str | None = None


class ImageSetEntryPage(BaseModel):
    images: list[ImageSetEntry]
    next_page_token: str | None = None
