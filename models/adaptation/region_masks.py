"""Masks of the regions of a label, from `regions.json`."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

REJECTED: Final = "rejected"


def region_mask(region: Mapping[str, Any], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The mask of an entry of `regions.json`, bool (H, W).

    Raises:
        ValueError: it is of an image of another size.
    """
    segmentation = region["segmentation"]
    if tuple(segmentation["size"]) != size_hw:
        raise ValueError(f"a region of {segmentation['size']} pixels in an image of {size_hw}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = counts.encode("ascii")
    mask: npt.NDArray[np.uint8] = coco_mask.decode({"size": list(size_hw), "counts": counts})
    return mask.astype(bool)


def rejected_mask(
    document: Mapping[str, Any] | None, size_hw: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Pixels of the regions that correction rejected, bool (H, W); none without a document."""
    found = np.zeros(size_hw, dtype=bool)
    for region in (document or {}).get("regions", []):
        if region["decision"] == REJECTED:
            found |= region_mask(region, size_hw)
    return found
