"""Image sets: what was uploaded, file by file, and what became of each."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.ids import UploadId
from api_schemas.jobs import NO_ZERO_BYTE, Job
from api_schemas.json_types import Integer
from api_schemas.problems import Problem

MAX_URLS: Final = 100_000
DEFAULT_SUFFIXES: Final = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".zip", ".tar", ".tar.gz", ".tgz",
)  # fmt: skip
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
Reference = Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=_PRINTABLE)]
ConnectionReference = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=_PRINTABLE)
]
Suffix = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=_PRINTABLE)]

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
    """A set of images. It can be used once it is `ready`; then it does not change any more."""

    id: str
    name: str | None = None
    status: Literal["receiving", "ready", "failed"]
    counts: ImageSetCounts
    source: dict[str, Any] | None = Field(None, description="Where it came from, if by a job")
    problem: Problem | None = Field(None, description="Why it failed")
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


class UrlItem(BaseModel):
    """One file by URL, and what you call it."""

    model_config = ConfigDict(extra="forbid")

    url: Reference
    external_id: str | None = Field(None, min_length=1, max_length=512, pattern=_PRINTABLE)


class UrlsSource(BaseModel):
    """Files by URL: `urls`, or `items` to give each a name of yours."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["urls"]
    urls: list[Reference] | None = Field(None, min_length=1, max_length=MAX_URLS)
    items: list[UrlItem] | None = Field(None, min_length=1, max_length=MAX_URLS)
    connection: ConnectionReference | None = Field(
        None, description="Whose credentials are used; public URLs without it"
    )

    @model_validator(mode="after")
    def _one_list(self) -> "UrlsSource":
        if (self.urls is None) == (self.items is None):
            raise ValueError("give either 'urls' or 'items'")
        return self


class PrefixSource(BaseModel):
    """All files of a bucket below a prefix, in the order of their keys."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["s3_prefix"]
    connection: ConnectionReference
    prefix: str = Field("", max_length=1024, pattern=_PRINTABLE)
    suffixes: list[Suffix] = Field(
        list(DEFAULT_SUFFIXES),
        max_length=64,
        description="Only keys that end so, in upper or lower case; an empty list takes all",
    )
    max_files: Integer | None = Field(None, ge=1, le=10_000_000)


class ManifestSource(BaseModel):
    """Files named by a list: one URL or key a line, or JSON with `url` or `key`, `external_id`."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["manifest"]
    url: Reference | None = None
    key: Reference | None = None
    connection: ConnectionReference | None = Field(
        None, description="Where list and files are; public URLs without it"
    )

    @model_validator(mode="after")
    def _one_place(self) -> "ManifestSource":
        if (self.url is None) == (self.key is None):
            raise ValueError("give either 'url' or 'key'")
        if self.key is not None and self.connection is None:
            raise ValueError("'key' needs a 'connection'")
        return self


class UploadSource(BaseModel):
    """An archive, or a single image, that came as a resumable upload."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["upload"]
    upload: UploadId


class ImageSetCreate(BaseModel):
    """An image set from elsewhere; a job fetches it."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, max_length=256, pattern=NO_ZERO_BYTE)
    source: UrlsSource | PrefixSource | ManifestSource | UploadSource = Field(discriminator="type")


class ImageSetCreated(BaseModel):
    """The set, empty at first, and the job that fills it."""

    image_set: ImageSet
    job: Job
