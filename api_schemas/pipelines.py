"""Configuration of the label path: one optional block per stage, in the order of the stages."""

import hashlib
import json
import re
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api_schemas.json_types import Integer, Number, Truth
from api_schemas.region_stages import AggregateConfig, CorrectConfig

STAGES: Final = ("predict", "rectify", "select", "aggregate", "correct")
Fraction = Annotated[Number, Field(gt=0.0, le=1.0)]


class PredictConfig(BaseModel):
    """predict: class probabilities by the current model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: Truth = Field(False, description="Average with the mirrored image")
    scales: tuple[Annotated[Number, Field(ge=0.25, le=4.0)], ...] = Field(
        (1.0,), min_length=1, max_length=5, description="Average over these image scales"
    )
    window_px: Integer = Field(
        1024, ge=64, le=8192, description="Larger images are read through windows of this side"
    )
    overlap: Number = Field(0.25, ge=0.0, le=0.5, description="Share of a window's side")


class RectifyConfig(BaseModel):
    """rectify: r, the probability that the class at a pixel is right, by the model's rectifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["exact", "coarse"] = Field(
        "exact",
        description="exact: r is computed at every pixel; coarse: only near edges of the label, "
        "and interpolated elsewhere",
    )
    band_px: Integer = Field(
        5, ge=1, le=64, description="How near to an edge `coarse` is exact, and `guided` guides"
    )
    relabel: Truth = Field(
        True,
        description="Let the class of a pixel change where r says so; without it r is the "
        "confidence of the predicted class and nothing else",
    )
    edges: Literal["guided", "bilinear"] = Field(
        "guided",
        description="How probabilities are read between their cells near edges of the label: as "
        "the colours of the image guide, or by distance alone",
    )


class SelectConfig(BaseModel):
    """select: keep the pixels that can be trusted, 255 elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["global", "class_balanced"] = "class_balanced"
    keep_fraction: Fraction = Field(0.7, description="Share of pixels to keep, of all or per class")
    thresholds: Annotated[Number, Field(ge=0, le=1)] | tuple[Fraction, ...] | None = Field(
        None, description="Fixed confidence thresholds (one, or one per class): no pilot is run"
    )
    scope: Literal["set", "image"] = Field(
        "set", description="Quantiles of the whole image set (pilot) or of each image alone"
    )


class PipelineConfig(BaseModel):
    """The label path. A stage that is null does not run."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"predict": {"flip": True}, "select": {"keep_fraction": 0.5}},
                {"rectify": {}, "aggregate": {"region_model": "graph"}, "correct": {}},
            ]
        },
    )

    predict: PredictConfig = PredictConfig()
    rectify: RectifyConfig | None = None
    select: SelectConfig | None = SelectConfig()
    aggregate: AggregateConfig | None = None
    correct: CorrectConfig | None = None
    keep_stages: bool = Field(False, description="Store the label map after each stage as well")
    pilot_images: int = Field(256, ge=1, le=4096, description="Images whose confidence is sampled")
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _thresholds_need_no_scope(self) -> Self:
        if self.select and self.select.thresholds is not None and self.select.scope == "image":
            raise ValueError("select.scope 'image' has no use for fixed thresholds: drop one")
        return self

    @property
    def stages(self) -> list[str]:
        """Names of the stages that run, in order."""
        return [name for name in STAGES if getattr(self, name) is not None]

    @property
    def needs_pilot(self) -> bool:
        """Whether quantiles of the whole set are needed before the first label."""
        return bool(self.select and self.select.thresholds is None and self.select.scope == "set")

    @property
    def needs_job_fit(self) -> bool:
        """Whether the last stage waits for a fit on the regions of the whole job."""
        return self.correct is not None and self.correct.fit == "job"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of this configuration."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


PIPELINE_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
PipelineName = Annotated[str, StringConstraints(pattern=PIPELINE_NAME_PATTERN)]
_REFERENCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,62})(?:@(?P<version>[1-9][0-9]{0,8}))?")


def parse_pipeline_reference(reference: str) -> tuple[str, int | None]:
    """Split ``name`` or ``name@7``.

    Raises:
        ValueError: the reference has another form.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(
            f"'{reference[:80]}' is not a reference to a pipeline; write 'name' or 'name@version'"
        )
    version = match["version"]
    return match["name"], int(version) if version else None


class PipelineCreate(BaseModel):
    """A name for a configuration; each other configuration of that name is its next version."""

    model_config = ConfigDict(extra="forbid")

    name: PipelineName
    config: PipelineConfig
    description: str | None = Field(None, max_length=2000)


class PipelineVersion(BaseModel):
    """A named configuration; it never changes."""

    name: str
    version: int
    reference: str = Field(description="`name@version`: use this, or the bare name, in a job")
    digest: str = Field(description="SHA-256 of the configuration")
    config: PipelineConfig
    description: str | None = None
    created_at: datetime
    created_by: str
    links: dict[str, str]


class PipelinePage(BaseModel):
    """The latest version of each pipeline, by name."""

    pipelines: list[PipelineVersion]
    next_page_token: str | None = None


class PipelineVersionPage(BaseModel):
    """Versions of one pipeline, oldest first."""

    versions: list[PipelineVersion]
    next_page_token: str | None = None
