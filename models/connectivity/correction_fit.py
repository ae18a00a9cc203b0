"""What is decided about regions, and by what: the outcome of `correction`, to and from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.connectivity.classifier import Classifier
from models.connectivity.config import CorrectConfig
from models.connectivity.mixture import TwoGaussians
from models.connectivity.rules import QuantileThresholds

JOB: Final = "job"
MODEL: Final = "model"
NEITHER: Final = "none"
FORMAT_VERSION: Final = 1

Classes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What became of N regions.

    Attributes:
        decisions: `rules.Decision`, uint8 (N,).
        classes_after: uint8 (N,), 255 where rejected.
        posterior: probability that the class given is wrong, float32 (N,).
        probability: of the class written, or where none is, of the class given, float32 (N,).
        decided_by: "job", "model" or "none".
        reason: why it was that, one sentence.
    """

    decisions: npt.NDArray[np.uint8]
    classes_after: Classes
    posterior: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]
    decided_by: str
    reason: str


@dataclass(frozen=True, eq=False)
class CorrectionFit:
    """What pass 2 needs; depends on the sample, the configuration and the model's classifier.

    Attributes:
        config: how regions are corrected.
        num_classes: K.
        decided_by: "job", "model" or "none".
        reason: why, one sentence.
        class_regions: regions of each class in the sample, K of them.
        classifier: the one that decides; None with "none".
        mixture: the split of the losses, in mode "mixture" of a job's own classifier.
        class_mixtures: {class: its own split}, where they are split by class and are apart.
        thresholds: in mode "quantile" of a job's own classifier.
        separation: Ashman's D of the split of all losses, even if it was too small; or None.
        rounds: rounds of fitting of the job's own classifier; 0 without one.
        partner: the model's classifier, pooled with the job's own in mode "pool"; None where there
            is none that fits.
    """

    config: CorrectConfig
    num_classes: int
    decided_by: str
    reason: str
    class_regions: tuple[int, ...]
    classifier: Classifier | None = None
    mixture: TwoGaussians | None = None
    class_mixtures: dict[int, TwoGaussians] = field(default_factory=dict)
    thresholds: QuantileThresholds | None = None
    separation: float | None = None
    rounds: int = 0
    partner: Classifier | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "config": self.config.to_dict(),
            "num_classes": self.num_classes,
            "decided_by": self.decided_by,
            "reason": self.reason,
            "class_regions": list(self.class_regions),
            "classifier": _dict_or_none(self.classifier),
            "partner": _dict_or_none(self.partner),
            "mixture": _dict_or_none(self.mixture),
            "class_mixtures": {str(c): m.to_dict() for c, m in self.class_mixtures.items()},
            "thresholds": _dict_or_none(self.thresholds),
            "separation": self.separation,
            "rounds": self.rounds,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CorrectionFit":
        """Raises ValueError if it is of another format."""
        if data.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"this program reads fits of a correction of version {FORMAT_VERSION}")
        classifier, partner, mixture = data["classifier"], data["partner"], data["mixture"]
        thresholds = data["thresholds"]
        return cls(
            config=CorrectConfig.from_dict(data["config"]),
            num_classes=int(data["num_classes"]),
            decided_by=data["decided_by"],
            reason=data["reason"],
            class_regions=tuple(data["class_regions"]),
            classifier=None if classifier is None else Classifier.from_dict(classifier),
            partner=None if partner is None else Classifier.from_dict(partner),
            mixture=None if mixture is None else TwoGaussians.from_dict(mixture),
            class_mixtures={
                int(c): TwoGaussians.from_dict(m) for c, m in data["class_mixtures"].items()
            },
            thresholds=None if thresholds is None else QuantileThresholds.from_dict(thresholds),
            separation=data["separation"],
            rounds=int(data["rounds"]),
        )


def _dict_or_none(value: Any) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()
