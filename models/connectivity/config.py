"""How the stages `aggregate` and `correct` work. Imports no torch.

Where the paper and its public code differ, both are modes beside ours: `variant` sets every
constant on which they do, and a constant that is given overrides it.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from models.config_checks import check, is_integer, is_number, known_keys

VARIANTS = ("selvage", "paper", "public-code")
FEATURE_GROUPS = ("segmenter", "region_model", "appearance", "votes")


@dataclass(frozen=True)
class ProposalsConfig:
    """How a grid of points becomes proposals; `models.promptable.base.ProposalConfig` explains.

    None leaves a value to the region model: what its estimates are worth, it knows best.
    """

    mode: str = "fast"
    points_per_side: int | None = None
    least_iou: float | None = None
    least_stability: float | None = None

    def __post_init__(self) -> None:
        at = "aggregate.proposals."
        check(self.mode in ("exact", "fast"), at + "mode", "'exact' or 'fast'")
        check(
            self.points_per_side is None or is_integer(self.points_per_side, 1, 128),
            at + "points_per_side",
            "null or an integer from 1 to 128",
        )
        for name in ("least_iou", "least_stability"):
            value = getattr(self, name)
            check(
                value is None or is_number(value, 0, 1), at + name, "null or a number from 0 to 1"
            )


@dataclass(frozen=True)
class AggregateConfig:
    """How kept pixels grow to regions (PSA).

    Attributes:
        region_model: name of the region model; "nano" ships with the program, "graph" needs no
            weights.
        variant: "selvage", "paper" or "public-code".
        start: "kept" starts from the kept pixels, "nothing" from an empty label: pixels in no
            accepted mask then lose theirs. None is the variant's own.
        least_share: share of a mask's votes that its class must exceed; None: variant's.
        least_coverage: share of a proposal that must have kept pixels; None: variant's.
        align: whose classes proposals take: "stuff", "all", or "none" for no proposals; None:
            variant's.
        prompt: for whose components the region model is asked: "things", "all" or "none"; None:
            variant's.
        proposals: how proposals are made.
    """

    region_model: str = "graph"
    variant: str = "selvage"
    start: str | None = None
    least_share: float | None = None
    least_coverage: float | None = None
    align: str | None = None
    prompt: str | None = None
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)

    def __post_init__(self) -> None:
        check(
            isinstance(self.region_model, str) and 1 <= len(self.region_model) <= 200,
            "aggregate.region_model",
            "the name of a region model",
        )
        check(self.variant in VARIANTS, "aggregate.variant", "'selvage', 'paper' or 'public-code'")
        check(
            self.start in (None, "kept", "nothing"), "aggregate.start", "'kept', 'nothing' or null"
        )
        for name in ("least_share", "least_coverage"):
            value = getattr(self, name)
            check(
                value is None or is_number(value, 0, 1),
                f"aggregate.{name}",
                "null or a number from 0 to 1",
            )
        check(
            self.align in (None, "stuff", "all", "none"),
            "aggregate.align",
            "'stuff', 'all', 'none' or null",
        )
        check(
            self.prompt in (None, "things", "all", "none"),
            "aggregate.prompt",
            "'things', 'all', 'none' or null",
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> "AggregateConfig":
        values = known_keys(cls, "aggregate", data)
        proposals = values.get("proposals")
        if proposals is not None:
            proposals = known_keys(ProposalsConfig, "aggregate.proposals", proposals)
            values["proposals"] = ProposalsConfig(**proposals)
        return cls(**{k: v for k, v in values.items() if not (k == "proposals" and v is None)})


@dataclass(frozen=True)
class CorrectConfig:
    """How regions are kept, relabelled or rejected (SCC).

    Attributes:
        mode: "pool" lets the job's own classifier, the model's and the segmenter judge together
            (ours), "mixture" splits the losses by two Gaussians (the paper), "quantile" by order
            statistics (the public code).
        fit: "job" fits the classifier on the job's own regions where there are enough of them,
            else the model's own classifier decides; "model" always takes the model's.
        keep_below: tau_ns, a region is kept if the posterior of the high-loss Gaussian is below.
        relabel_above: tau_cr, a region is relabelled if the probability of its new class is above.
        class_balanced: split the losses of each class by themselves.
        features: groups of features that the job's own classifier sees. A classifier over the
            features that made a mistake repeats it, so the segmenter's are left out by default.
        quantile: rho of the quantile mode.
        least_regions: with fewer regions in the job its own fit is not used.
        least_class_regions: nor with fewer of one class that occurs.
        least_separation: nor, in mode "mixture", with a smaller Ashman's D between the Gaussians.
    """

    mode: str = "pool"
    fit: str = "job"
    keep_below: float = 0.60
    relabel_above: float = 0.95
    class_balanced: bool = False
    features: tuple[str, ...] = ("appearance",)
    quantile: float = 0.5
    least_regions: int = 2000
    least_class_regions: int = 20
    least_separation: float = 2.0

    def __post_init__(self) -> None:
        check(
            self.mode in ("pool", "mixture", "quantile"),
            "correct.mode",
            "'pool', 'mixture' or 'quantile'",
        )
        check(self.fit in ("job", "model"), "correct.fit", "'job' or 'model'")
        for name in ("keep_below", "relabel_above", "quantile"):
            check(is_number(getattr(self, name), 0, 1), f"correct.{name}", "a number from 0 to 1")
        check(isinstance(self.class_balanced, bool), "correct.class_balanced", "true or false")
        check(
            len(self.features) > 0
            and len(set(self.features)) == len(self.features)
            and set(self.features) <= set(FEATURE_GROUPS),
            "correct.features",
            f"a list of different groups, of {', '.join(FEATURE_GROUPS)}",
        )
        for name in ("least_regions", "least_class_regions"):
            check(
                is_integer(getattr(self, name), 0, 1_000_000),
                f"correct.{name}",
                "an integer from 0 to 1000000",
            )
        check(
            is_number(self.least_separation, 0, 100),
            "correct.least_separation",
            "a number from 0 to 100",
        )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "features": list(self.features)}

    @classmethod
    def from_dict(cls, data: Any) -> "CorrectConfig":
        values = known_keys(cls, "correct", data)
        features = values.get("features")
        if features is not None:
            check(
                isinstance(features, list | tuple)
                and all(isinstance(name, str) for name in features),
                "correct.features",
                "a list of names",
            )
            values["features"] = tuple(features)
        return cls(**values)
