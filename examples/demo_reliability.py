"""The reliability diagram of the demo: how often labels of each confidence are right."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.metrics.calibration import expected_calibration_error
from models.metrics.confusion import Counts
from models.metrics.ranking import auroc
from models.metrics.reliability import LEVEL_VALUES, LEVELS, over_classes, reliability_counts

Array = npt.NDArray[np.uint8]

BINS: Final = 10
_SIDE_PX: Final = 240
_MARGIN_PX: Final = 42
_LEAST_SHARE: Final = 0.002  # of the pixels; a bin with fewer is not drawn
_COLOURS: Final = ("#b03a2e", "#1f618d")


def reliability(
    triples: Iterable[tuple[Array, Array, Array]], num_classes: int
) -> dict[str, Any] | None:
    """Points of the diagram, AUROC and ECE of labels; None if no pixel has both label and truth.

    Args:
        triples: label, confidence round(255·c) and truth of each image, uint8 (H, W).
        num_classes: K.
    """
    counts = np.zeros((num_classes, 2, LEVELS), np.int64)
    for label, confidence, truth in triples:
        counts += reliability_counts(label, confidence, truth, num_classes)
    total = over_classes(counts)
    if not total.sum():
        return None
    ranked = auroc(total)
    return {
        "auroc": None if np.isnan(ranked) else ranked,
        "ece": expected_calibration_error(total),
        "points": _points(total),
    }


def diagram(curves: Mapping[str, Mapping[str, Any]]) -> str:
    """The diagram as inline SVG, one curve a name, with the diagonal of perfect calibration."""
    side, margin = _SIDE_PX, _MARGIN_PX
    parts = [
        f'<svg role="img" viewBox="0 0 {side + margin + 10} {side + margin + 10}" '
        f'width="{side + margin + 10}" aria-label="reliability diagram" font-size="11">',
        f'<g transform="translate({margin} 8)">',
        f'<rect width="{side}" height="{side}" fill="#fff" stroke="#ccc"/>',
        f'<path d="M0 {side}L{side} 0" stroke="#999" stroke-dasharray="4 4"/>',
    ]
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        places = [(x * side, (1 - y) * side) for x, y, _ in curve["points"]]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        offset = 14 + 14 * list(curves).index(name)
        parts.append(f'<text x="8" y="{offset}" fill="{colour}">{name}</text>')
    for value in (0, 0.5, 1):
        x, y = value * side, (1 - value) * side
        parts.append(f'<text x="{x}" y="{side + 14}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text x="-6" y="{y + 4}" text-anchor="end">{value:g}</text>')
    middle = side / 2
    parts.append(f'<text x="{middle}" y="{side + 30}" text-anchor="middle">confidence</text>')
    parts.append(
        f'<text transform="translate(-28 {middle}) rotate(-90)" text-anchor="middle">right</text>'
    )
    return "".join([*parts, "</g></svg>"])


def _points(total: Counts) -> Sequence[tuple[float, float, float]]:
    """Mean confidence, share right and share of the pixels of each filled bin."""
    bin_of_level = np.minimum((LEVEL_VALUES * BINS).astype(int), BINS - 1)
    pixels = np.bincount(bin_of_level, weights=total.sum(0), minlength=BINS)
    right = np.bincount(bin_of_level, weights=total[1], minlength=BINS)
    level_sums = total.sum(0) * LEVEL_VALUES
    confidence = np.bincount(bin_of_level, weights=level_sums, minlength=BINS)
    drawn = pixels >= _LEAST_SHARE * pixels.sum()
    return [
        (float(c / n), float(r / n), float(n / pixels.sum()))
        for c, r, n in zip(confidence[drawn], right[drawn], pixels[drawn], strict=True)
    ]
