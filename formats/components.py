"""Connected parts of masks."""

import cv2
import numpy as np
import numpy.typing as npt


def components_by_size(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Number the connected parts of a mask, bool `(H, W)`; diagonal neighbours are connected.

    Returns:
        int32 `(H, W)`: 0 outside, 1 in the largest part, then the next; of two of one size the one
        that begins further up, then further left, comes first.
    """
    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-sizes, kind="stable")
    renumbered = np.zeros(count, np.int32)
    renumbered[order + 1] = np.arange(1, count, dtype=np.int32)
    found: npt.NDArray[np.int32] = renumbered[parts]
    return found
