"""Resumable uploads: one large file in parts, the same contract on S3 and on a local store."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api_schemas.json_types import Integer
from api_schemas.problems import Problem

MAX_PARTS: Final = 10_000
UploadStatus = Literal["open", "completing", "complete", "aborted"]
PartNumber = Annotated[Integer, Field(ge=1, le=MAX_PARTS)]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
ETag = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class UploadCreate(BaseModel):
    """Announces a file; its bytes follow as PUTs of parts, in any order, again after a break."""

    model_config = ConfigDict(extra="forbid")

    file_name: str = Field(min_length=1, max_length=1024, examples=["night.zip"])
    size_bytes: Integer = Field(ge=1, lt=2**53, description="Size of the whole file")
    sha256: Sha256 | None = Field(
        None, description="Of the whole file, in hex; checked when the upload is completed"
    )
    part_bytes: Integer | None = Field(
        None,
        ge=1,
        lt=2**53,
        description="Size of every part but the last; chosen by the service if left out",
    )


class UploadPart(BaseModel):
    """One part: where it goes, and whether it is there."""

    number: int = Field(description="From 1; part n begins at byte (n - 1) × part_bytes")
    size_bytes: int = Field(description="Exactly so many bytes are taken")
    status: Literal["missing", "stored"]
    etag: str | None = Field(None, description="Of what is stored")
    url: str | None = Field(
        None,
        description="Send the bytes here; absolute on S3 (good for 15 minutes, GET the upload for "
        "a fresh one), else a path of this API; null once the upload is closed",
    )
    method: Literal["PUT"] = "PUT"
    headers: dict[str, str] = Field(
        default_factory=dict, description="To be sent with the bytes as they stand"
    )


class Upload(BaseModel):
    """A large file on its way in. `parts` is one page of its parts."""

    id: str
    file_name: str
    size_bytes: int
    sha256: str | None = None
    status: UploadStatus = Field(
        description="`completing` goes on when :complete is asked again; `aborted` is final"
    )
    part_bytes: int
    part_count: int
    parts: list[UploadPart]
    next_page_token: str | None = Field(None, description="Of the next page of parts")
    problem: Problem | None = None
    created_at: datetime
    created_by: str
    expires_at: datetime = Field(description="Then it is deleted, whatever its status")
    links: dict[str, str]


class UploadSummary(BaseModel):
    """An upload in a list, without its parts."""

    id: str
    file_name: str
    size_bytes: int
    status: UploadStatus
    created_at: datetime
    expires_at: datetime
    links: dict[str, str]


class UploadPage(BaseModel):
    uploads: list[UploadSummary]
    next_page_token: str | None = None


class StoredPart(BaseModel):
    """The answer to the PUT of a part."""

    upload: str
    number: int
    size_bytes: int
    etag: str


class CompletedPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: PartNumber
    etag: ETag


class UploadComplete(BaseModel):
    """Optional: what the client believes to have sent. The service knows by itself as well."""

    model_config = ConfigDict(extra="forbid")

    parts: list[CompletedPart] | None = Field(
        None, max_length=MAX_PARTS, description="All parts, with the ETag that each PUT answered"
    )
