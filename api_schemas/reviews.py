"""Reviews: labels that wait for a look, and what people decided on them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api_schemas.jobs import NO_ZERO_BYTE

ReviewOrder = Literal["expected_gain", "quality"]
ReviewDecision = Literal["accepted", "rejected", "corrected"]
ReviewSource = Literal["api", "import", "label_studio"]
MAX_NOTE = 2000
Note = Annotated[str, StringConstraints(max_length=MAX_NOTE, pattern=NO_ZERO_BYTE)]


class ReviewCreate(BaseModel):
    """A decision without a file; a corrected mask comes as multipart/form-data."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["accept", "reject"]
    note: Note | None = Field(None, description="Yours: why")


class Review(BaseModel):
    """What somebody decided on a label. It never changes; of several the newest counts."""

    id: str
    label: str | None = Field(
        description="The label that was judged; null if the image had none, or it was deleted"
    )
    image_digest: str
    decision: ReviewDecision
    corrected_label: str | None = Field(description="The label that takes its place")
    source: ReviewSource
    job: str | None = Field(description="The import that it came with")
    note: str | None
    created_at: datetime
    created_by: str
    links: dict[str, str]


class ReviewHistory(BaseModel):
    """Decisions on a label, oldest first, and the one that made it if it is a corrected one."""

    reviews: list[Review]


class ReviewItem(BaseModel):
    """A label that waits for a look."""

    label: str
    job: str
    position: int
    external_id: str
    file_name: str
    image_digest: str
    width_px: int
    height_px: int
    expected_gain: float = Field(
        description="Share of the image that a correction is expected to put right: "
        "coverage · (1 − quality) + ½ · (1 − coverage)",
        ge=0,
        le=1,
    )
    quality: float | None
    coverage: float
    links: dict[str, str]


class ReviewQueue(BaseModel):
    """A page of labels that nobody has looked at."""

    items: list[ReviewItem]
    job: str | None = Field(None, description="Whose labels these are, where it was asked for")
    next_page_token: str | None = None
