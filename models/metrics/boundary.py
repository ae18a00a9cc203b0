"""Boundary IoU: overlap of the inner bands along the contours of each class.

Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation"
(2021) and its code: the band of a mask is the mask less its erosion, and the image border counts
as a contour. Counts per class add up over images; the figure is the ratio of the sums.
"""

import cv2
import numpy as np
import numpy.typing as npt

from models.metrics.confusion import IGNORE, Counts, Fractions, LabelMap, divide

DIAGONAL_SHARE = 0.02


def band_width_px(shape_hw: tuple[int, int]) -> int:
    """Width of the band: 2 % of the image diagonal, at least 1 pixel."""
    return max(1, round(DIAGONAL_SHARE * float(np.hypot(*shape_hw))))


def inner_band(mask: npt.NDArray[np.bool_], width_px: int) -> npt.NDArray[np.bool_]:
    """Pixels of the mask at most `width_px` (chessboard distance) from a pixel outside it.

    Beyond the image everything is outside.

    Args:
        mask: shape (H, W).
        width_px: at least 1.
    """
    side = 2 * width_px + 1
    eroded = cv2.erode(
        mask.astype(np.uint8),  # OpenCV has no boolean images
        np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    band: npt.NDArray[np.bool_] = mask & (eroded == 0)
    return band


def boundary_counts(label: LabelMap, truth: LabelMap, num_classes: int) -> Counts:
    """Intersection, union and true pixels of the bands of one image, shape (K, 3).

    Where the truth is 255 the label is cut out as well, so that both have the same contour there
    and no pixel is counted. A dropped pixel (label 255) is a hole in its class: a label is not
    excused from the contours that it leaves out.

    Args:
        label: labelled classes, shape (H, W); 255 means dropped.
        truth: true classes, shape (H, W); 255 means not annotated.
        num_classes: K.
    """
    label = np.where(truth == IGNORE, np.uint8(IGNORE), label)
    width_px = band_width_px((truth.shape[0], truth.shape[1]))
    counts = np.zeros((num_classes, 3), dtype=np.int64)
    for index in np.union1d(label, truth):
        if index == IGNORE:
            continue
        label_band = inner_band(label == index, width_px)
        truth_band = inner_band(truth == index, width_px)
        counts[index] = (
            np.count_nonzero(label_band & truth_band),
            np.count_nonzero(label_band | truth_band),
            np.count_nonzero(truth_band),
        )
    return counts


def boundary_iou_per_class(counts: Counts) -> Fractions:
    """Boundary IoU per class, shape (K,); NaN for classes in neither label nor truth."""
    return divide(counts[:, 0], counts[:, 1])


def boundary_iou(counts: Counts) -> float:
    """Mean boundary IoU over the classes that occur in the truth; NaN when there is none."""
    values = boundary_iou_per_class(counts)[counts[:, 2] > 0]
    return float(values.mean()) if values.size else float("nan")
