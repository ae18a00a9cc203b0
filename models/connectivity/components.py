"""Connected components of a label: maximal sets of neighbouring pixels of one class."""

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt

_CLASS_CODES = 256


@dataclass(frozen=True, eq=False)
class ComponentTable:
    """What is known of N components; row i is component i + 1 of the map.

    Attributes:
        classes: uint8 (N,).
        areas_px: int64 (N,).
        boxes_xyxy: int32 (N, 4), half open.
    """

    classes: npt.NDArray[np.uint8]
    areas_px: npt.NDArray[np.int64]
    boxes_xyxy: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.classes)


def components_of(
    label: npt.NDArray[np.uint8], pieces: npt.NDArray[np.int32] | None = None
) -> tuple[npt.NDArray[np.int32], int]:
    """The 8-connected components of a label, found in one pass.

    Args:
        label: class of each pixel, uint8 (H, W); 255 belongs to no component.
        pieces: int32 (H, W), not negative, below 2^24; if given, a component has one piece number
            as well as one class.

    Returns:
        int32 (H, W) with 0 where the label is 255 and 1, 2, … N elsewhere, and N.
    """
    # cc3d takes 0 for background, and adding one to uint8 turns 255 into just that.
    codes = np.ascontiguousarray(label) + np.uint8(1)
    if pieces is None:
        found, count = cc3d.connected_components(codes, connectivity=8, return_N=True)
    else:
        pairs = pieces.astype(np.uint32) * np.uint32(_CLASS_CODES) + codes
        pairs[codes == 0] = 0
        found, count = cc3d.connected_components(pairs, connectivity=8, return_N=True)
    return found.astype(np.int32), int(count)


def component_table(
    components: npt.NDArray[np.int32], count: int, label: npt.NDArray[np.uint8]
) -> ComponentTable:
    """Class, area and box of each of the `count` components of a label, both maps (H, W)."""
    classes = np.zeros(count + 1, dtype=np.uint8)
    classes[components.ravel()] = label.ravel()
    # cc3d counts in unsigned integers only.
    statistics = cc3d.statistics(components.view(np.uint32), no_slice_conversion=True)
    ends = np.asarray(statistics["bounding_boxes"])[1 : count + 1]
    rows_columns = ends.reshape(-1, 4).astype(np.int32)  # y0, y1, x0, x1; the ends are inside
    boxes = rows_columns[:, [2, 0, 3, 1]]
    boxes[:, 2:] += 1
    return ComponentTable(
        classes=classes[1:],
        areas_px=np.asarray(statistics["voxel_counts"])[1 : count + 1].astype(np.int64),
        boxes_xyxy=boxes,
    )
