"""Counts and figures of one estimate of reliability over the images of a set."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from models.metrics import calibration, ranking, risk_coverage
from models.metrics.confusion import (
    Counts,
    confusion_matrix,
    iou_full,
    iou_kept,
    mean_over_present,
)
from models.metrics.reliability import LEVELS, over_classes, reliability_counts
from models.ontology import IGNORE_LABEL
from models.rectification.sampling import near_edges

BAND_PX: Final = 5
COVERAGES: Final = (0.5, 0.7, 0.9)
Estimate = npt.NDArray[np.float32]
Label = npt.NDArray[np.uint8]


class Quality:
    """Expected and true accuracy of images."""

    def __init__(self) -> None:
        self.images: list[tuple[float, float]] = []

    def figures(self) -> dict[str, float]:
        expected, true = np.array(self.images).T
        return {
            "images": len(true),
            "spearman": rank_correlation(expected, true),
            "error": float(np.abs(expected - true).mean()),
        }


class Scores:
    """Counts of one estimate over the images of a set."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.whole = np.zeros((num_classes, 2, LEVELS), np.int64)
        self.band = self.whole.copy()
        # True class and labelled class of the pixels of each level.
        self.pairs = np.zeros((LEVELS, num_classes, num_classes), np.int64)
        self.banded = np.zeros((num_classes, num_classes + 1), np.int64)
        self.quality = Quality()

    def add(self, label: Label, estimate: Estimate, truth: Label) -> None:
        level = np.rint(estimate * (LEVELS - 1)).astype(np.uint8)
        self.whole += reliability_counts(label, level, truth, self.num_classes)
        near = near_edges(torch.from_numpy(truth)[None], BAND_PX)[0].numpy()
        in_band = np.where(near, truth, np.uint8(IGNORE_LABEL))
        self.band += reliability_counts(label, level, in_band, self.num_classes)
        self.banded += confusion_matrix(label, in_band, self.num_classes)
        known = truth != IGNORE_LABEL
        cell = level[known].astype(np.int64) * self.num_classes + truth[known]
        cell = cell * self.num_classes + label[known]
        self.pairs += np.bincount(cell, minlength=self.pairs.size).reshape(self.pairs.shape)
        right = (label == truth)[known]
        self.quality.images.append((float(estimate[known].mean()), float(right.mean())))

    def figures(self) -> dict[str, float]:
        whole, band = over_classes(self.whole), over_classes(self.band)
        quality = self.quality.figures()
        everything = with_dropped(self.pairs.sum(0))
        kept = {f"miou_at_{round(100 * share)}": miou_at(self.pairs, share) for share in COVERAGES}
        return {
            "auroc": ranking.auroc(whole),
            "auroc_band": ranking.auroc(band),
            "aupr_error": ranking.aupr_error(whole),
            "ece": calibration.expected_calibration_error(whole),
            "ece_equal_mass": calibration.adaptive_calibration_error(whole),
            "ece_band": calibration.expected_calibration_error(band),
            "aurc": risk_coverage.area_under_risk_coverage(whole),
            "spearman": quality["spearman"],
            "quality_error": quality["error"],
            "miou": mean_over_present(iou_full(everything), everything),
            "miou_band": mean_over_present(iou_full(self.banded), self.banded),
            **kept,
        }


def miou_at(pairs: Counts, coverage: float) -> float:
    """mIoU of the kept pixels if the surest share of all is kept.

    Of the level that is kept in part every pair of classes keeps the same share.

    Args:
        pairs: pixels by level, true class and labelled class, (L, K, K).
        coverage: share to keep, above 0 and at most 1.
    """
    wanted = coverage * pairs.sum()
    per_level = pairs.sum((1, 2)).astype(np.float64)
    above = np.cumsum(per_level[::-1])[::-1] - per_level
    share = np.clip((wanted - above) / np.maximum(per_level, 1), 0, 1)
    kept: Any = with_dropped((pairs * share[:, None, None]).sum(0))
    return mean_over_present(iou_kept(kept), kept)


def with_dropped(pairs: Any) -> Any:
    """Pairs of classes (K, K) as a confusion matrix (K, K + 1) in which nothing was dropped."""
    return np.pad(pairs, ((0, 0), (0, 1)))


def rank_correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Spearman's, of values that hardly ever tie."""
    ranks = [np.argsort(np.argsort(values)) for values in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def changes(before: Label, after: Label, truth: Label) -> npt.NDArray[np.int64]:
    """Pixels, those changed, and of these right before and right after; int64 (4,)."""
    known = truth != IGNORE_LABEL
    changed = known & (before != after)
    right = [(changed & (label == truth)).sum() for label in (before, after)]
    return np.array([known.sum(), changed.sum(), *right])


def relabelled(counts: npt.NDArray[np.int64]) -> Mapping[str, float | None]:
    """Shares of what `changes` counted."""
    pixels, changed, before, after = (int(n) for n in counts)
    return {
        "changed": changed / pixels,
        "right_before": before / changed if changed else None,
        "right_after": after / changed if changed else None,
    }
