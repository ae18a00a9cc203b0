"""Regions of the label set, to be pasted into other images: minority classes come more often.

SeCo (section 3.4 of the paper, no public code): regions whose class was kept or corrected form a
pool, from which classes that are rare are re-sampled and pasted into training images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from models.adaptation.data import TargetSamples
from models.adaptation.region_masks import REJECTED, region_mask
from models.adaptation.terms import MixedBatch

_CONFIDENCE_LEVELS: Final = 255


@dataclass(frozen=True, eq=False)
class PooledRegion:
    """A region that has a class.

    Attributes:
        sample: number of its image.
        class_id: of the region, after correction.
        box_xyxy: x0, y0, x1, y1 in pixels, half open.
        area_px: its pixels.
        reliability: mean r of its label, in [0, 1].
        segmentation: COCO RLE.
    """

    sample: int
    class_id: int
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    reliability: float
    segmentation: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels to be pasted.

    Attributes:
        image: float32 [3, h, w] in [0, 1].
        mask: which of them, bool [h, w].
        class_id: of all of them.
        reliability: of all of them, in [0, 1].
    """

    image: Tensor
    mask: Tensor
    class_id: int
    reliability: float


def pooled_regions(
    target: TargetSamples, least_area_px: int, largest_share: float, least_reliability: float
) -> list[PooledRegion]:
    """All regions of a label set that may be pasted, in the order of images and of regions.

    Args:
        target: images with their labels; those without regions give none.
        least_area_px: smaller ones are left out.
        largest_share: of an image; larger ones are left out.
        least_reliability: mean r of a region; less sure ones are left out.
    """
    found = []
    for number in range(len(target)):
        sample = target[number]
        size_hw = (sample.label.shape[0], sample.label.shape[1])
        for region in (sample.regions or {}).get("regions", []):
            area = int(region["area"])
            if region["class_after"] is None or region["decision"] == REJECTED:
                continue
            if not least_area_px <= area <= largest_share * sample.label.size:
                continue
            inside = sample.confidence[region_mask(region, size_hw)]
            reliability = float(inside.mean()) / _CONFIDENCE_LEVELS if len(inside) else 0.0
            if reliability < least_reliability:
                continue
            x, y, width, height = (int(value) for value in region["bbox"])
            found.append(
                PooledRegion(
                    number,
                    int(region["class_after"]),
                    (x, y, x + width, y + height),
                    area,
                    reliability,
                    region["segmentation"],
                )
            )
    return found


def cut_out(region: PooledRegion, target: TargetSamples, mirrored: bool) -> Patch:
    """The pixels of a region.

    Args:
        region: of `pooled_regions` over the same samples.
        target: the samples.
        mirrored: left and right change places.
    """
    sample = target[region.sample]
    size_hw = (sample.label.shape[0], sample.label.shape[1])
    x0, y0, x1, y1 = region.box_xyxy
    mask = region_mask({"segmentation": region.segmentation}, size_hw)[y0:y1, x0:x1]
    image = sample.image[y0:y1, x0:x1]
    if mirrored:
        mask, image = mask[:, ::-1], image[:, ::-1]
    # Copies: a mirrored region one pixel wide counts as contiguous, with a stride torch refuses.
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
    return Patch(
        pixels,
        torch.from_numpy(mask.copy()),
        region.class_id,
        region.reliability,
    )


def pasted(
    mixed: MixedBatch, sample: int, patch: Patch, top_px: int, left_px: int, weight: float
) -> MixedBatch:
    """The batch with a patch in one of its samples; what lies beyond the image is cut off.

    Args:
        mixed: not changed.
        sample: number in the batch.
        patch: what is pasted.
        top_px, left_px: of the patch in the image, may be negative.
        weight: of its pixels in the loss, times its reliability.
    """
    height, width = mixed.labels.shape[1:]
    rows = slice(max(0, top_px), min(height, top_px + patch.mask.shape[0]))
    columns = slice(max(0, left_px), min(width, left_px + patch.mask.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return mixed
    own_rows = slice(rows.start - top_px, rows.stop - top_px)
    own_columns = slice(columns.start - left_px, columns.stop - left_px)
    device = mixed.labels.device
    where = torch.zeros(mixed.labels.shape, dtype=torch.bool, device=device)
    where[sample, rows, columns] = patch.mask[own_rows, own_columns].to(device)
    image = torch.zeros_like(mixed.images[sample])
    image[:, rows, columns] = patch.image[:, own_rows, own_columns].to(image)
    return MixedBatch(
        images=torch.where(where[:, None], image, mixed.images),
        labels=mixed.labels.masked_fill(where, patch.class_id),
        weights=mixed.weights.masked_fill(where, weight * patch.reliability),
        reliability=mixed.reliability.masked_fill(where, patch.reliability),
        pasted=mixed.pasted | where,
        soft_targets=mixed.soft_targets,
    )
