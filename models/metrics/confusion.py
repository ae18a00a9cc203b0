"""Confusion matrices that know dropped pixels, and the two kinds of IoU read from them.

A matrix has shape (K, K + 1) and dtype int64: rows are true classes, columns 0..K-1 the labelled
class, column K the pixels that the label leaves out (label 255 where the truth is valid). Pixels
whose truth is 255 are counted nowhere. Matrices of images, chunks and sets add up.
"""

import numpy as np
import numpy.typing as npt

IGNORE = 255

LabelMap = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]
Fractions = npt.NDArray[np.float64]


def confusion_matrix(label: LabelMap, truth: LabelMap, num_classes: int) -> Counts:
    """Pixel counts of one image by true class and labelled class.

    Args:
        label: labelled classes, shape (H, W); 255 means dropped.
        truth: true classes, shape (H, W); 255 means not annotated.
        num_classes: K, between 1 and 255.

    Returns:
        Counts of shape (K, K + 1).

    Raises:
        ValueError: shapes differ, or a value is neither a class nor 255.
    """
    check_label_map("label", label, num_classes)
    check_label_map("truth", truth, num_classes)
    if label.shape != truth.shape:
        raise ValueError(f"label has shape {label.shape}, truth has shape {truth.shape}")
    valid = truth != IGNORE
    column = label[valid].astype(np.int64)
    column[column == IGNORE] = num_classes
    cell = truth[valid].astype(np.int64) * (num_classes + 1) + column
    counts = np.bincount(cell, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1).astype(np.int64)


def check_label_map(name: str, values: LabelMap, num_classes: int) -> None:
    """Raise ValueError unless `values` is a uint8 (H, W) map of classes below K and of 255."""
    if values.dtype != np.uint8 or values.ndim != 2:
        raise ValueError(f"{name} must be (H, W) uint8, not {values.shape} {values.dtype}")
    unknown = np.setdiff1d(values[values >= num_classes], IGNORE)
    if unknown.size:
        raise ValueError(
            f"{name} holds {int(unknown[0])}, beyond {num_classes} classes and not 255"
        )


def iou_kept(matrix: Counts) -> Fractions:
    """IoU per class over the kept pixels alone, shape (K,); NaN where the union is empty."""
    inner = matrix[:, :-1]
    return _iou(inner, np.asarray(inner.sum(axis=1)))


def iou_full(matrix: Counts) -> Fractions:
    """IoU per class with dropped pixels as misses, shape (K,); NaN where the union is empty.

    A dropped pixel stands in the union of its true class and in no intersection, so no class is
    better here than in `iou_kept`.
    """
    return _iou(matrix[:, :-1], np.asarray(matrix.sum(axis=1)))


def _iou(inner: Counts, true_pixels: Counts) -> Fractions:
    hit = np.diagonal(inner)
    return divide(hit, true_pixels + inner.sum(axis=0) - hit)


def mean_over_present(values: Fractions, matrix: Counts) -> float:
    """Mean of a figure per class over the classes that occur in the truth.

    A class of the truth whose figure is undefined (everything of it dropped, and nothing labelled
    so) is left out; NaN when none remains.
    """
    present = values[(matrix.sum(axis=1) > 0) & ~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def divide(part: npt.NDArray[np.generic], whole: npt.NDArray[np.generic]) -> Fractions:
    """Element by element `part / whole`, NaN where `whole` is 0."""
    whole_f = np.asarray(whole, dtype=np.float64)
    ratio = np.full(whole_f.shape, np.nan)
    np.divide(np.asarray(part, dtype=np.float64), whole_f, out=ratio, where=whole_f > 0)
    return ratio
