"""The stages that work on regions: `aggregate` (PSA) and `correct` (SCC) of SeCo.

`variant` sets every constant on which the paper and its public code differ; a constant that is
given overrides it.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api_schemas.json_types import Integer, Number, Truth

Share = Annotated[Number, Field(ge=0.0, le=1.0)]
REGION_MODEL_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}(?:[:@]v?[0-9]{1,9})?$"
RegionModelReference = Annotated[str, StringConstraints(pattern=REGION_MODEL_PATTERN)]
FeatureGroup = Literal["segmenter", "region_model", "appearance", "votes"]


class ProposalsConfig(BaseModel):
    """How a grid of points becomes the proposals for stuff classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["exact", "fast"] = Field(
        "fast",
        description="exact: the masks of segment-anything's own generator; fast: a second wave of "
        "points only where no kept mask lies",
    )
    points_per_side: Annotated[Integer, Field(ge=1, le=128)] | None = Field(
        None, description="Points along a side; null: the region model's own (32 for official SAMs)"
    )
    least_iou: Share | None = Field(
        None,
        description="Masks whose estimated IoU is not larger are dropped; null: the region "
        "model's own (0.88 for official SAMs)",
    )
    least_stability: Share | None = Field(
        None,
        description="Masks that change more with the threshold are dropped; null: the region "
        "model's own (0.95 for official SAMs)",
    )


class AggregateConfig(BaseModel):
    """aggregate: kept pixels grow to whole regions. Without kinds all classes are stuff."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{}, {"region_model": "sam_vit_b", "variant": "paper"}]},
    )

    region_model: RegionModelReference = Field(
        "graph",
        description="`nano` and `graph` are built in; else a registered region model, `name` or "
        "`name:version`. Settled when the job is created",
        examples=["nano", "graph", "sam_vit_b", "sam_vit_b:1"],
    )
    variant: Literal["selvage", "paper", "public-code"] = Field(
        "selvage", description="Whose constants are used where they differ"
    )
    start: Literal["kept", "nothing"] | None = Field(
        None,
        description="From the kept pixels, or from an empty label: pixels in no accepted mask then "
        "lose theirs. By default the variant's own",
    )
    least_share: Share | None = Field(
        None, description="Share of a mask's votes that its class must exceed"
    )
    least_coverage: Share | None = Field(
        None, description="Share of a proposal that must have kept pixels"
    )
    align: Literal["stuff", "all", "none"] | None = Field(
        None,
        description="Which kind of class proposals take; `none`: nothing is proposed. By default "
        "the variant's own",
    )
    prompt: Literal["things", "all", "none"] | None = Field(
        None,
        description="The region model is asked for each component of a class of this kind. By "
        "default the variant's own",
    )
    proposals: ProposalsConfig = ProposalsConfig()


def _all_different(groups: tuple[FeatureGroup, ...]) -> tuple[FeatureGroup, ...]:
    if len(set(groups)) != len(groups):
        raise ValueError("name each group once")
    return groups


class CorrectConfig(BaseModel):
    """correct: each region is kept, relabelled or rejected.

    Without `aggregate` the regions are the connected components of the selected label.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{}, {"mode": "quantile", "quantile": 0.6}]},
    )

    mode: Literal["pool", "mixture", "quantile"] = Field(
        "pool",
        description="pool: the job's own classifier and the model's judge together; mixture: its "
        "losses are split by two Gaussians (the paper); quantile: by order statistics (its public "
        "code)",
    )
    fit: Literal["job", "model"] = Field(
        "job",
        description="job: the classifier is fitted on the regions of the whole job where there are "
        "enough, else the model's own decides; model: always the model's own, in one pass",
    )
    keep_below: Share = Field(
        0.60, description="τ_ns: kept if the posterior of the high-loss Gaussian is below"
    )
    relabel_above: Share = Field(
        0.95, description="τ_cr: relabelled if the probability of the new class is above"
    )
    class_balanced: Truth = Field(False, description="Split the losses of each class by themselves")
    features: Annotated[tuple[FeatureGroup, ...], AfterValidator(_all_different)] = Field(
        ("appearance",),
        min_length=1,
        max_length=4,
        description="Groups of features that the job's own classifier sees",
        json_schema_extra={"uniqueItems": True},
    )
    quantile: Share = Field(0.5, description="ρ of the mode quantile")
    least_regions: Integer = Field(
        2000, ge=0, le=1_000_000, description="With fewer in the job its own fit is not used"
    )
    least_class_regions: Integer = Field(
        20, ge=0, le=1_000_000, description="Nor with fewer of one class that occurs"
    )
    least_separation: Number = Field(
        2.0, ge=0.0, le=100.0, description="Nor with a smaller Ashman's D between the Gaussians"
    )
