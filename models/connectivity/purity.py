"""How mixed the classes around each pixel are; prompts are asked at the purest pixels.

The measure is that of SeCo's public code, after the region impurity of Xie et al. (RIPU,
CVPR 2022): the entropy of the histogram of classes in a square window.
"""

import cv2
import numpy as np
import numpy.typing as npt

from models.ontology import IGNORE_LABEL

# Few classes occur in a tile and most of the work is per class; a tile also stays in the cache.
_TILE_PX = 128


def purity_map(
    label: npt.NDArray[np.uint8], num_classes: int, radius_px: int = 8
) -> npt.NDArray[np.float32]:
    """The entropy of the classes around each pixel, in nats: 0 where there is one class only.

    255 counts as a class of its own, and nothing beyond the edge of the image counts. Pixels that
    are 255 themselves get the largest value of the image.

    Args:
        label: uint8 (H, W), below `num_classes` or 255; not changed.
        num_classes: K.
        radius_px: the window is 2 * radius_px + 1 pixels wide and high; at most 127.

    Returns:
        float32 (H, W). Windows of equal histograms get equal values, whatever the classes are.
    """
    height, width = label.shape
    ignored = label == IGNORE_LABEL
    codes = np.where(ignored, np.uint8(num_classes), label)
    entropy = np.zeros((height, width), dtype=np.float32)
    terms, scale = _terms(radius_px)
    rows, columns = (_in_window(length, radius_px) for length in label.shape)
    for top in range(0, height, _TILE_PX):
        for left in range(0, width, _TILE_PX):
            bottom, right = min(top + _TILE_PX, height), min(left + _TILE_PX, width)
            y0, x0 = max(top - radius_px, 0), max(left - radius_px, 0)
            with_margin = codes[y0 : bottom + radius_px, x0 : right + radius_px]
            sums = _sum_of_terms(with_margin, terms, radius_px)
            if sums is None:
                continue
            # H = ln n - 1/n sum of c ln c, with n pixels in the window and c of each class.
            counted = np.outer(rows[top:bottom], columns[left:right])
            excess = terms.take(counted, mode="clip")
            excess -= sums[top - y0 : bottom - y0, left - x0 : right - x0]
            np.divide(
                excess,
                counted.astype(np.float32) * np.float32(scale),
                out=entropy[top:bottom, left:right],
                dtype=np.float32,
                casting="unsafe",
            )
    if ignored.any():
        np.copyto(entropy, entropy.max(), where=ignored)
    return entropy


def _terms(radius_px: int) -> tuple[npt.NDArray[np.int32], float]:
    """c ln c for all counts c in a window, in fixed point, so that sums do not depend on order."""
    counts = np.arange((2 * radius_px + 1) ** 2 + 1, dtype=np.float64)
    values = counts * np.log(np.maximum(counts, 1))
    scale = 2.0 ** np.floor(np.log2(2**31 / (values[-1] + 1)))
    return np.floor(values * scale).astype(np.int32), float(scale)


def _in_window(length: int, radius_px: int) -> npt.NDArray[np.uint16]:
    """How many places of 0 … length - 1 are at most `radius_px` away from each of them."""
    places = np.arange(length)
    last = np.minimum(places + radius_px, length - 1)
    return (last - np.maximum(places - radius_px, 0) + 1).astype(np.uint16)


def _sum_of_terms(
    codes: npt.NDArray[np.uint8], terms: npt.NDArray[np.int32], radius_px: int
) -> npt.NDArray[np.int32] | None:
    """Sum over classes of c ln c around each pixel, as (H, W); None if there is one class only."""
    pixels = cv2.calcHist([codes], [0], None, [256], [0, 256]).ravel()
    present = np.flatnonzero(pixels)
    if len(present) == 1:
        return None
    side = 2 * radius_px + 1
    total = np.zeros(codes.shape, dtype=np.int32)
    for code in present:
        counts = cv2.boxFilter(
            (codes == code).view(np.uint8),
            cv2.CV_16U,
            (side, side),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        # No count is out of range; "clip" only skips a slower check.
        total += terms.take(counts, mode="clip")
    return total
