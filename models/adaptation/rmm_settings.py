"""Settings of the method `rmm`. Imports no torch."""

from dataclasses import dataclass

from models.config_checks import check, is_integer, is_number


@dataclass(frozen=True)
class RmmSettings:
    """Weights are of losses in this method's sum.

    Attributes:
        weight: of the sum.
        mixture_weight: lambda_m, of -log(r p(y) + (1 - r) b(y)).
        soft_weight: of the cross-entropy with the rectified labels r p' + (1 - r) b'.
        anchor_weight: lambda_r, of what r itself learns from.
        agreement_weight: lambda_D, of the agreement of both heads on the target, in the anchor;
            without source images it is the whole anchor and counts 1.
        auxiliary_weight: of the auxiliary head's losses beside the main head's.
        points: Q, of each image; half of them near edges of the teacher's label.
        full_until, mixed_from: shares of the run: before the first r counts as 1, after the
            second as it is.
        reduced_channels: of the field's latent codes.
        held_out: one of so many source images calibrates r and is not fitted on.
        calibrated_from: share of the run from which on answers are gathered for calibration.
    """

    weight: float = 1.0
    mixture_weight: float = 0.5
    soft_weight: float = 0.5
    anchor_weight: float = 1.0
    agreement_weight: float = 0.1
    auxiliary_weight: float = 0.5
    points: int = 384
    full_until: float = 0.1
    mixed_from: float = 0.2
    reduced_channels: int = 32
    held_out: int = 5
    calibrated_from: float = 0.75

    def __post_init__(self) -> None:
        for name in (
            "weight",
            "mixture_weight",
            "soft_weight",
            "anchor_weight",
            "agreement_weight",
            "auxiliary_weight",
        ):
            what = "a number from 0 to 1000"
            check(is_number(getattr(self, name), 0, 1e3), name, what)
        for name in ("full_until", "mixed_from", "calibrated_from"):
            what = "a number from 0 to 1"
            check(is_number(getattr(self, name), 0, 1), name, what)
        check(self.full_until <= self.mixed_from, "mixed_from", "at least full_until")
        for name, lowest, highest in (
            ("points", 2, 1 << 16),
            ("reduced_channels", 1, 4096),
            ("held_out", 2, 1 << 16),
        ):
            what = f"an integer from {lowest} to {highest}"
            check(is_integer(getattr(self, name), lowest, highest), name, what)
