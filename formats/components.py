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
    found = np.zeros(mask.shape, np.int32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return found
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = np.ascontiguousarray(mask[box]).view(np.uint8)
    count, parts, facts, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    renumbered = np.zeros(count, np.int32)
    renumbered[np.argsort(-sizes, kind="stable") + 1] = np.arange(1, count, dtype=np.int32)
    found[box] = renumbered.take(np.asarray(parts, np.int32))
    return found
