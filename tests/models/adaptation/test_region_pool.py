from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.adaptation.data import TargetSample
from models.adaptation.region_masks import region_mask, rejected_mask
from models.adaptation.region_pool import Patch, cut_out, pasted, pooled_regions
from models.adaptation.terms import MixedBatch
from models.rle import Rle

MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]], bool)
OTHER = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)


def region(mask: np.ndarray, class_after: int | None, decision: str = "kept") -> dict[str, Any]:
    rle = Rle.encode(mask)
    x0, y0, x1, y1 = rle.box_xyxy()
    return {
        "segmentation": rle.to_coco(),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle.area_px,
        "class_before": 1,
        "class_after": class_after,
        "decision": decision,
    }


def sample(*regions: dict[str, Any], confidence: int = 204) -> TargetSample:
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    maps = np.full((3, 4), confidence, np.uint8)
    return TargetSample("t", image, np.ones((3, 4), np.uint8), maps, {"regions": list(regions)})


def mixed(size: int = 1) -> MixedBatch:
    shape = (size, 3, 4)
    return MixedBatch(
        images=torch.zeros(size, 3, 3, 4),
        labels=torch.zeros(shape, dtype=torch.int64),
        weights=torch.ones(shape),
        reliability=torch.ones(shape),
        pasted=torch.zeros(shape, dtype=torch.bool),
        soft_targets=torch.rand(size, 3, 3, 4),
    )


def test_masks_are_read_back():
    assert np.array_equal(region_mask(region(MASK, 1), (3, 4)), MASK)
    with pytest.raises(ValueError, match="size|pixels"):
        region_mask(region(MASK, 1), (4, 3))


def test_rejected_regions_are_found():
    document = {"regions": [region(MASK, None, "rejected"), region(OTHER, 1)]}
    assert np.array_equal(rejected_mask(document, (3, 4)), MASK)
    assert not rejected_mask(None, (3, 4)).any()


def test_the_pool_has_what_has_a_class_and_a_size_and_is_sure():
    pool = [sample(region(MASK, None, "rejected"), region(MASK, 2, "relabelled"), region(OTHER, 0))]
    assert [(r.class_id, r.area_px) for r in pooled_regions(pool, 1, 1.0, 0.0)] == [(2, 3), (0, 2)]
    assert [r.class_id for r in pooled_regions(pool, 3, 1.0, 0.0)] == [2]
    assert [r.class_id for r in pooled_regions(pool, 1, 0.2, 0.0)] == [0]
    assert pooled_regions(pool, 1, 1.0, 0.9) == []
    without = replace(sample(), regions=None)
    assert pooled_regions([without], 1, 1.0, 0.0) == []
    (first, _) = pooled_regions(pool, 1, 1.0, 0.0)
    assert first.box_xyxy == (1, 1, 3, 3)
    assert first.reliability == pytest.approx(0.8)


def test_a_patch_is_cut_out_and_may_be_mirrored():
    pool = [sample(region(MASK, 2))]
    (found,) = pooled_regions(pool, 1, 1.0, 0.0)
    patch = cut_out(found, pool, mirrored=False)
    assert patch.mask.tolist() == [[True, True], [True, False]]
    torch.testing.assert_close(patch.image[:, 0, 0] * 255, torch.tensor([15.0, 16, 17]))
    turned = cut_out(found, pool, mirrored=True)
    assert turned.mask.tolist() == [[True, True], [False, True]]
    assert torch.equal(turned.image, patch.image.flip(2))


PATCH = Patch(torch.full((3, 2, 2), 0.5), torch.tensor([[True, True], [True, False]]), 2, 0.8)


def test_a_patch_one_pixel_wide_may_be_mirrored():
    mask = np.zeros((3, 4), bool)
    mask[1:3, 2] = True
    labelled = sample(region(mask, 1))
    (pooled,) = pooled_regions([labelled], 1, 1.0, 0.0)
    assert cut_out(pooled, [labelled], mirrored=True).mask.tolist() == [[True], [True]]


def test_pasted_pixels_bring_image_class_weight_and_reliability():
    before = mixed(2)
    after = pasted(before, 1, PATCH, 1, 2, weight=0.5)
    expected = torch.tensor([[0, 0, 0, 0], [0, 0, 2, 2], [0, 0, 2, 0]])
    where = expected == 2
    assert torch.equal(after.labels[1], expected)
    assert torch.equal(after.pasted[1], where)
    torch.testing.assert_close(after.weights[1], torch.where(where, 0.4, 1.0))
    torch.testing.assert_close(after.reliability[1], torch.where(where, 0.8, 1.0))
    assert torch.equal(after.images[1, 0], torch.where(where, 0.5, 0.0))
    assert not after.pasted[0].any()
    assert not before.pasted.any()


@pytest.mark.parametrize(
    ("top", "left", "count"), [(-1, -1, 0), (-1, 0, 1), (2, 3, 1), (5, 0, 0), (0, -9, 0)]
)
def test_what_lies_beyond_the_image_is_cut_off(top, left, count):
    assert int(pasted(mixed(), 0, PATCH, top, left, 1.0).pasted.sum()) == count
