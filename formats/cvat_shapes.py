"""A label as the shapes of CVAT's automatic annotation (nuclio functions)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from formats.coco_rle import bounding_box


def mask_shapes(label: npt.NDArray[np.uint8], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one mask a class: the 0/1 values of its box, row by row, then xtl, ytl, xbr, ybr.

    The box is inclusive. There are no `points`: CVAT would make a polygon of them.

    >>> mask_shapes(np.array([[255, 0], [255, 0]], np.uint8), ["road"])[0]["mask"]
    [1, 1, 1, 0, 1, 1]
    """
    shapes = []
    for index in np.unique(label).tolist():
        if index >= len(names):
            continue
        inside = label == index
        x, y, width, height = bounding_box(inside)
        crop = inside[y : y + height, x : x + width].astype(np.uint8).ravel().tolist()
        shapes.append(
            {
                "label": names[index],
                "type": "mask",
                "confidence": "1.0",
                "mask": [*crop, x, y, x + width - 1, y + height - 1],
                "attributes": [],
                "group_id": None,
            }
        )
    return shapes
