"""The gates of a round: pure functions on figures. Nothing here sees a label of the target that
was uploaded for evaluation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from api_schemas.campaigns import GateResult, Gates

NOT_HERE: Final = "there is no round before to compare with"


@dataclass(frozen=True)
class LabelFigures:
    """What the gates look at of a label set.

    Attributes:
        class_pixels: class name → kept pixels.
        drift: mean distance of the class shares of images to those of the round before; None
            without one, or where no image is in both.
    """

    images: int
    coverage: float | None
    class_pixels: Mapping[str, int]
    previous_class_pixels: Mapping[str, int] | None = None
    drift: float | None = None


def check_labels(figures: LabelFigures, gates: Gates) -> list[GateResult]:
    """Return what each gate before training says of a label set."""
    return [
        _at_least("min_images", figures.images, gates.min_images, "images in the label set"),
        _coverage(figures, gates),
        _class_share(figures, gates),
        _collapse(figures, gates),
        _drift(figures, gates),
    ]


def check_model(
    miou: float | None, teacher_miou: float | None, gates: Gates, *, steers: bool
) -> list[GateResult]:
    """Return what the gate after training says of a model.

    Args:
        steers: the scores are of labels of purpose `validation`; others decide nothing.
    """
    name, limit = "max_miou_drop", gates.max_miou_drop
    if not steers:
        return [_passed(name, limit, "no labels of purpose `validation` were given")]
    if miou is None or teacher_miou is None:
        return [_passed(name, limit, "the mIoU of one of the two models is not defined")]
    drop = teacher_miou - miou
    detail = f"mIoU {miou:.4f}, that of the teacher {teacher_miou:.4f}"
    return [GateResult(gate=name, passed=drop <= limit, value=drop, limit=limit, detail=detail)]


def first_failure(results: Iterable[GateResult]) -> GateResult | None:
    return next((result for result in results if not result.passed), None)


def _passed(gate: str, limit: float, why: str) -> GateResult:
    return GateResult(gate=gate, passed=True, limit=limit, detail=f"Does not apply: {why}.")


def _at_least(gate: str, value: float, limit: float, what: str) -> GateResult:
    return GateResult(
        gate=gate, passed=value >= limit, value=value, limit=limit, detail=f"{value:g} {what}"
    )


def _coverage(figures: LabelFigures, gates: Gates) -> GateResult:
    limit = gates.min_coverage
    if figures.coverage is None:
        return _passed("min_coverage", limit, "all labels are by people")
    return _at_least("min_coverage", figures.coverage, limit, "of the pixels are kept")


def _shares(class_pixels: Mapping[str, int]) -> dict[str, float]:
    total = sum(class_pixels.values())
    return {name: n / total for name, n in class_pixels.items()} if total else {}


def _class_share(figures: LabelFigures, gates: Gates) -> GateResult:
    limit, shares = gates.max_class_share, _shares(figures.class_pixels)
    if not shares:
        return _passed("max_class_share", limit, "all labels are by people")
    name = max(shares, key=lambda key: (shares[key], key))
    return GateResult(
        gate="max_class_share",
        passed=shares[name] <= limit,
        value=shares[name],
        limit=limit,
        detail=f"'{name}' has {shares[name]:.1%} of the kept pixels",
    )


def _collapse(figures: LabelFigures, gates: Gates) -> GateResult:
    limit, before = gates.max_collapsed_classes, figures.previous_class_pixels
    if not before or not figures.class_pixels:
        return _passed("max_collapsed_classes", limit, NOT_HERE)
    shares, old = _shares(figures.class_pixels), _shares(before)
    gone = [
        name
        for name, share in sorted(old.items())
        if share > 0 and shares.get(name, 0.0) < gates.collapse_ratio * share
    ]
    return GateResult(
        gate="max_collapsed_classes",
        passed=len(gone) <= limit,
        value=len(gone),
        limit=limit,
        detail=f"collapsed: {', '.join(gone)}" if gone else "no class has collapsed",
    )


def _drift(figures: LabelFigures, gates: Gates) -> GateResult:
    limit = gates.max_label_drift
    if figures.drift is None:
        return _passed("max_label_drift", limit, NOT_HERE)
    return GateResult(
        gate="max_label_drift",
        passed=figures.drift <= limit,
        value=figures.drift,
        limit=limit,
        detail=f"class shares of an image moved by {figures.drift:.1%} on average",
    )


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Return half the sum of absolute differences of two labels' class shares, in [0, 1].

    Two labels that keep the same pixels differ on at least this share of them.
    """
    a, b = _shares(one), _shares(other)
    if not a or not b:
        return 0.0 if a == b else 1.0
    return sum(abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in {*a, *b}) / 2
