"""Ways to build and fit a rectifier, one thing changed at a time: what each part is worth."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from models.rectification.source_fit import SourceFitSettings


@dataclass(frozen=True)
class Variant:
    """What differs from the default.

    Attributes:
        shape: sizes of the field, see `FieldShape`.
        training: see `TrainingSettings`.
        mode: how the field is evaluated.
    """

    shape: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "exact"

    def settings(self, common: SourceFitSettings) -> SourceFitSettings:
        """How it is fitted."""
        return replace(
            common,
            shape={**common.shape, **self.shape},
            training=replace(common.training, **self.training),
        )


VARIANTS: Final[Mapping[str, Variant]] = {
    "default": Variant(),
    "coarse": Variant(mode="coarse"),
    "no_relative": Variant({"relative": False}),
    "no_ensemble": Variant({"ensemble": False}),
    "no_unfold": Variant({"unfold": False}),
    "cell": Variant({"cell": True}),
    "fourier_4": Variant({"fourier_octaves": 4}),
    "per_class": Variant({"per_class": True}),
    "agreement": Variant({"agreement": True}),
    "hidden_64_16": Variant({"hidden": (64, 16)}),
    "hidden_4x256": Variant({"hidden": (256, 256, 256, 256)}),
    "no_log_odds": Variant(training={"log_odds": False}),
    "anchor_alone": Variant(training={"mixture_weight": 0.0}),
    "noise_mixture": Variant(training={"second_head": False}),
    "mixture_alone": Variant(training={"anchor_weight": 0.0}),
    "with_divergence": Variant(training={"divergence_weight": 0.1}),
}
"""`coarse` is the default asked in another way, so it is not fitted again."""
