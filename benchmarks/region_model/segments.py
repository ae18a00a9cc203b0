"""The segments of a labelled image that a region model should find, whatever their class."""

import cc3d
import numpy as np
import numpy.typing as npt

IGNORE_LABEL = 255


def segments_of(
    label: npt.NDArray[np.uint8], instances: npt.NDArray[np.integer] | None = None
) -> npt.NDArray[np.int32]:
    """Numbers the segments of an image from 1 on.

    A segment is a thing instance, in one piece or several, or an 8-connected component of the
    pixels of one class that belong to no instance.

    Args:
        label: class ids (H, W), 255 where not annotated.
        instances: (H, W), 0 where there is no instance; None if instances are not known.

    Returns:
        int32 (H, W), 0 where the label is 255.
    """
    classes = label.astype(np.int32) + 1  # cc3d takes 0 for background
    classes[label == IGNORE_LABEL] = 0
    if instances is None:
        return cc3d.connected_components(classes, connectivity=8).astype(np.int32)
    inside = instances > 0
    classes[inside] = 0
    components, count = cc3d.connected_components(classes, connectivity=8, return_N=True)
    found = components.astype(np.int32)
    found[inside] = count + _compact(instances[inside])
    found[label == IGNORE_LABEL] = 0
    return found


def _compact(values: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """The distinct values renumbered from 1 on."""
    return np.unique(values, return_inverse=True)[1].astype(np.int32) + 1
