"""The rival at equal coverage: what plain max-softmax would keep if it kept as many pixels.

A stage that keeps n pixels of a set is compared with the n pixels of highest max-softmax of the
same predictions, chosen once with one threshold for all classes and once with the same quantile in
every predicted class. The better of the two counts, figure by figure. The choice looks at no
ground truth: n counts the pixels of the whole images.

Two passes: `level_counts` of all images add up, `plan_*` reads the sum, and `RivalSelector` then
walks the images once more, in a fixed order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import IGNORE, Counts, LabelMap
from models.metrics.reliability import LEVELS

LOWER_IS_BETTER = frozenset({"ece"})


def level_counts(label: LabelMap, confidence: npt.NDArray[np.uint8], num_classes: int) -> Counts:
    """Pixels of one image by predicted class and confidence byte, shape (K, 256).

    Args:
        label: predicted classes without holes, shape (H, W).
        confidence: round(255·max-softmax), shape (H, W).
        num_classes: K.
    """
    cell = label.astype(np.int64) * LEVELS + confidence
    counts = np.bincount(cell.ravel(), minlength=num_classes * LEVELS)
    return counts.reshape(num_classes, LEVELS).astype(np.int64)


@dataclass(frozen=True)
class RivalPlan:
    """How many pixels to keep at each class and level.

    Attributes:
        available: pixels there, shape (K, 256).
        kept: pixels to keep there, shape (K, 256), between 0 and `available`.
    """

    available: Counts
    kept: Counts


def plan_global(available: Counts, keep: int) -> RivalPlan:
    """Keep the `keep` most confident pixels, one threshold for all classes.

    Args:
        available: level counts of the whole set, shape (K, 256).
        keep: pixels to keep, at most those available.
    """
    quota = _fill_from_top(available.sum(axis=0), keep)
    kept = np.zeros_like(available)
    for level in np.flatnonzero(quota):
        kept[:, level] = _share_out(available[:, level], int(quota[level]))
    return RivalPlan(available, kept)


def plan_per_class(available: Counts, keep: int) -> RivalPlan:
    """Keep the same share of every predicted class, its most confident pixels.

    Args:
        available: level counts of the whole set, shape (K, 256).
        keep: pixels to keep, at most those available.
    """
    quota = _share_out(available.sum(axis=1), keep)
    kept = [_fill_from_top(row, int(n)) for row, n in zip(available, quota, strict=True)]
    return RivalPlan(available, np.stack(kept))


def _fill_from_top(per_level: Counts, keep: int) -> Counts:
    """Take `keep` pixels from the highest levels down, shape (256,)."""
    above = np.cumsum(per_level[::-1])[::-1] - per_level
    taken: Counts = np.clip(keep - above, 0, per_level)
    return taken


def _share_out(parts: Counts, keep: int) -> Counts:
    """Split `keep` over the parts in proportion to their size, by largest remainder.

    Raises:
        ValueError: more is asked for than there is.
    """
    total = int(parts.sum())
    if keep > total:
        raise ValueError(f"cannot keep {keep} of {total} pixels")
    if total == 0:
        return np.zeros_like(parts)
    whole, remainder = np.divmod(parts * keep, total)
    missing = keep - int(whole.sum())
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole


class RivalSelector:
    """Carries out a plan image by image, in the order in which it is called.

    Levels that are kept in part give each image its proportional share, drawn at random inside
    the image (seeded), so that the total is exact and no image or place is favoured.
    """

    def __init__(self, plan: RivalPlan, seed: int) -> None:
        self._left = plan.available.copy()
        self._quota = plan.kept.copy()
        self._rng = np.random.default_rng(seed)

    def select(self, label: LabelMap, confidence: npt.NDArray[np.uint8]) -> LabelMap:
        """The label with everything but the rival's pixels set to 255, shape (H, W).

        Args:
            label: predicted classes without holes, as given to `level_counts`.
            confidence: as given to `level_counts`.
        """
        cell = label.astype(np.int64) * LEVELS + confidence
        full = (self._quota == self._left).ravel()[cell]
        partial = ((self._quota > 0) & (self._quota < self._left)).ravel()[cell]
        kept = full.ravel()
        for index in np.unique(cell[partial]):
            pixels = np.flatnonzero(cell == index)
            take = self._take(*divmod(int(index), LEVELS), pixels.size)
            kept[self._rng.choice(pixels, take, replace=False)] = True
        here = level_counts(label, confidence, len(self._left))
        whole = self._quota == self._left
        self._left -= here
        self._quota = np.where(whole, self._left, self._quota)
        return np.where(kept.reshape(label.shape), label, np.uint8(IGNORE))

    def _take(self, class_id: int, level: int, here: int) -> int:
        """This image's share of a level that is kept in part; the last image gets the rest."""
        left, quota = int(self._left[class_id, level]), int(self._quota[class_id, level])
        take = (quota * here * 2 + left) // (2 * left)
        self._quota[class_id, level] -= take
        return take


def better_figures(
    first: Mapping[str, float | None], second: Mapping[str, float | None]
) -> dict[str, float | None]:
    """The better value of each figure of two rivals; None only where both are undefined."""
    best: dict[str, float | None] = {}
    for name, value in first.items():
        defined = [v for v in (value, second[name]) if v is not None]
        choose = min if name in LOWER_IS_BETTER else max
        best[name] = choose(defined) if defined else None
    return best
