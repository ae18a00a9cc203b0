"""Boxes around components, larger than them: kept pixels are seldom the whole of an object."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

# Rotated rectangles come in float32: corners that should be whole numbers are off by this at most.
_ROUNDING_PX = 1e-3


def grown_boxes(
    boxes_xyxy: npt.NDArray[np.int32], area_factor: float, size_hw: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Boxes of the same centre and shape with `area_factor` times the area (the paper's way).

    Args:
        boxes_xyxy: int32 (N, 4), half open.
        area_factor: 1.5 in the paper.
        size_hw: height and width of the image, to which the boxes are clipped.

    Returns:
        float32 (N, 4) with x1 and y1 the outermost pixels, as region models take boxes.
    """
    boxes = boxes_xyxy.astype(np.float64)
    margin = (boxes[:, 2:] - boxes[:, :2]) * (np.sqrt(area_factor) - 1) / 2
    return _clipped(np.hstack([boxes[:, :2] - margin, boxes[:, 2:] - 1 + margin]), size_hw)


def offset_boxes(
    outlines_xy: Sequence[npt.NDArray[np.int32]], ratio: float, size_hw: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Boxes around the components' smallest rectangles after an offset (the public code's way).

    The smallest rectangle at any angle around a component is offset outwards by
    ratio * area / perimeter with round corners. An offset by d of a convex shape reaches d further
    on each side, so no polygon has to be offset to know the box. Lines and single pixels have
    rectangles without area, and keep their own box.

    Args:
        outlines_xy: for each component, pixels whose convex hull is that of the component,
            int32 (M, 2).
        ratio: 1.25 in the public code.
        size_hw: height and width of the image, to which the boxes are clipped.

    Returns:
        float32 (N, 4), whole numbers; x1 and y1 are the outermost pixels.
    """
    rectangles = [cv2.minAreaRect(outline) for outline in outlines_xy]
    values = np.array([(*at, *sides, angle) for at, sides, angle in rectangles], dtype=np.float64)
    x, y, width, height, degrees = values.reshape(-1, 5).T
    cos, sin = np.abs(np.cos(np.radians(degrees))), np.abs(np.sin(np.radians(degrees)))
    perimeter = 2 * (width + height)
    offset = ratio * width * height / np.where(perimeter > 0, perimeter, 1)
    reach_x = (width * cos + height * sin) / 2 + offset - _ROUNDING_PX
    reach_y = (width * sin + height * cos) / 2 + offset - _ROUNDING_PX
    low = np.floor(np.column_stack([x - reach_x, y - reach_y]))
    high = np.ceil(np.column_stack([x + reach_x, y + reach_y]))
    return _clipped(np.hstack([low, high]), size_hw)


def box_iou(
    one_xyxy: npt.NDArray[np.number], other_xyxy: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """IoU of pairs of half-open boxes, (…, 4) each, broadcast; 0 where a box is empty."""
    one, other = one_xyxy.astype(np.float64), other_xyxy.astype(np.float64)
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., 2:], other[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(b[..., 2:] - b[..., :2], 0), axis=-1) for b in (one, other)]
    union = areas[0] + areas[1] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _clipped(boxes: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    height, width = size_hw
    last = np.array([width - 1, height - 1, width - 1, height - 1])
    return np.clip(boxes, 0, last).astype(np.float32)
