"""The configuration of the label path: which stages run, and how. Imports no torch.

All classes are frozen, check their values when made, and go to and from JSON.
"""

from dataclasses import dataclass, field
from typing import Any

from models.config_checks import check, is_integer, is_number, known_keys, number_tuple
from models.connectivity.config import AggregateConfig, CorrectConfig
from models.errors import ConfigError
from models.rectification.config import RectifyConfig

STAGES = ("predict", "rectify", "select", "aggregate", "correct")

# Raised by hand when a change of code changes the bytes that a stage writes; part of every label's
# identity. tests/models/test_golden.py fails when bytes change and no version was raised.
ALGORITHM_VERSIONS = {"predict": 1, "rectify": 4, "select": 1, "aggregate": 3, "correct": 3}

MIN_WINDOW_PX = 32
MAX_WINDOW_PX = 8192


@dataclass(frozen=True)
class PredictConfig:
    """How images become class probabilities.

    Attributes:
        flip: also look at the mirrored image and average the probabilities.
        scales: sizes at which each window is looked at, as factors; averaged with equal weight.
        window_px: images with a longer side are labelled window by window.
        overlap: share of a window that it has in common with the next, 0 to 0.5.
        batch_size: images or windows per forward pass. None means 1 on a CPU, so that the bytes of
            a label do not depend on which images were labelled together, and 8 on a GPU.
        precision: "float32", or "bfloat16" for mixed precision where the device is a GPU (a CPU
            always computes in float32).
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window_px: int = 1024
    overlap: float = 0.25
    batch_size: int | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        check(isinstance(self.flip, bool), "predict.flip", "true or false")
        check(
            1 <= len(self.scales) <= 8 and all(is_number(s, 0.125, 8) for s in self.scales),
            "predict.scales",
            "one to eight factors between 0.125 and 8",
        )
        check(
            is_integer(self.window_px, MIN_WINDOW_PX, MAX_WINDOW_PX),
            "predict.window_px",
            f"an integer from {MIN_WINDOW_PX} to {MAX_WINDOW_PX}",
        )
        check(is_number(self.overlap, 0, 0.5), "predict.overlap", "a number from 0 to 0.5")
        check(
            self.batch_size is None or is_integer(self.batch_size, 1, 1024),
            "predict.batch_size",
            "null, or an integer from 1 to 1024",
        )
        check(
            self.precision in ("float32", "bfloat16"),
            "predict.precision",
            "'float32' or 'bfloat16'",
        )

    @property
    def looks(self) -> int:
        """How often each window is looked at."""
        return len(self.scales) * (2 if self.flip else 1)

    def to_dict(self) -> dict[str, Any]:
        return {
            "flip": self.flip,
            "scales": list(self.scales),
            "window_px": self.window_px,
            "overlap": self.overlap,
            "batch_size": self.batch_size,
            "precision": self.precision,
        }

    @classmethod
    def from_dict(cls, data: Any) -> "PredictConfig":
        """Raises ConfigError, as the other `from_dict` of this file do."""
        values = known_keys(cls, "predict", data)
        if "scales" in values:
            values["scales"] = number_tuple("predict.scales", values["scales"])
        return cls(**values)


@dataclass(frozen=True)
class SelectConfig:
    """Which pixels keep their label; the others become 255.

    Attributes:
        mode: "class_balanced" keeps the same share of the pixels of each predicted class, "global"
            has one threshold for all classes.
        keep_fraction: the share to keep, above 0 and up to 1. Not used with `thresholds`.
        thresholds: fixed limits on the largest class probability, one for all classes or one per
            class in order of ids.
        scope: where the quantiles come from: "set" (a pilot over a sample of the image set) or
            "image" (each image by itself). Not used with `thresholds`.
    """

    mode: str = "class_balanced"
    keep_fraction: float = 0.7
    thresholds: tuple[float, ...] | float | None = None
    scope: str = "set"

    def __post_init__(self) -> None:
        check(
            self.mode in ("class_balanced", "global"),
            "select.mode",
            "'class_balanced' or 'global'",
        )
        check(
            is_number(self.keep_fraction, 0, 1) and self.keep_fraction > 0,
            "select.keep_fraction",
            "a number above 0 and up to 1",
        )
        limits = self.thresholds if isinstance(self.thresholds, tuple) else (self.thresholds,)
        check(
            self.thresholds is None
            or (len(limits) > 0 and all(is_number(limit, 0, 1) for limit in limits)),
            "select.thresholds",
            "null, a number from 0 to 1, or a list of them with one for each class",
        )
        check(self.scope in ("set", "image"), "select.scope", "'set' or 'image'")

    @property
    def needs_pilot(self) -> bool:
        """True if thresholds must be fitted on a sample of the set first."""
        return self.thresholds is None and self.scope == "set"

    def to_dict(self) -> dict[str, Any]:
        limits = self.thresholds
        return {
            "mode": self.mode,
            "keep_fraction": self.keep_fraction,
            "thresholds": list(limits) if isinstance(limits, tuple) else limits,
            "scope": self.scope,
        }

    @classmethod
    def from_dict(cls, data: Any) -> "SelectConfig":
        values = known_keys(cls, "select", data)
        if isinstance(values.get("thresholds"), list | tuple):
            values["thresholds"] = number_tuple("select.thresholds", values["thresholds"])
        return cls(**values)


@dataclass(frozen=True)
class PipelineConfig:
    """The stages that run, in the order of `STAGES`; a stage that is None is left out.

    Attributes:
        predict: always runs.
        rectify: r, the probability that a class is right, in place of the model's confidence.
        select: None keeps the label of every pixel.
        aggregate: grows the kept pixels to regions (PSA).
        correct: keeps, relabels or rejects each region (SCC).
        keep_stages: also give the class map after each stage that ran.
    """

    predict: PredictConfig = field(default_factory=PredictConfig)
    rectify: RectifyConfig | None = None
    select: SelectConfig | None = None
    aggregate: AggregateConfig | None = None
    correct: CorrectConfig | None = None
    keep_stages: bool = False

    def __post_init__(self) -> None:
        check(isinstance(self.keep_stages, bool), "keep_stages", "true or false")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that run, in order."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)

    @property
    def needs_detail(self) -> bool:
        """Whether stages after `select` ask for the class probabilities of a prediction."""
        return self.aggregate is not None or self.correct is not None

    @property
    def algorithm_versions(self) -> dict[str, int]:
        """The version of each stage that runs, part of a label's identity."""
        return {stage: ALGORITHM_VERSIONS[stage] for stage in self.stages}

    def to_dict(self) -> dict[str, Any]:
        return {
            "predict": self.predict.to_dict(),
            "rectify": None if self.rectify is None else self.rectify.to_dict(),
            "select": None if self.select is None else self.select.to_dict(),
            "aggregate": None if self.aggregate is None else self.aggregate.to_dict(),
            "correct": None if self.correct is None else self.correct.to_dict(),
            "keep_stages": self.keep_stages,
        }

    @classmethod
    def from_dict(cls, data: Any) -> "PipelineConfig":
        """The configuration of a JSON object; absent keys take their defaults.

        Raises:
            ConfigError: on an unknown key or an invalid value.
        """
        if not isinstance(data, dict):
            raise ConfigError("", "a pipeline is an object")
        unknown = sorted(map(str, set(data) - {*STAGES, "keep_stages"}))
        if unknown:
            raise ConfigError(unknown[0], "no such key")
        predict, rectify, select = data.get("predict"), data.get("rectify"), data.get("select")
        aggregate, correct = data.get("aggregate"), data.get("correct")
        return cls(
            predict=PredictConfig() if predict is None else PredictConfig.from_dict(predict),
            rectify=None if rectify is None else RectifyConfig.from_dict(rectify),
            select=None if select is None else SelectConfig.from_dict(select),
            aggregate=None if aggregate is None else AggregateConfig.from_dict(aggregate),
            correct=None if correct is None else CorrectConfig.from_dict(correct),
            keep_stages=data.get("keep_stages", False),
        )
