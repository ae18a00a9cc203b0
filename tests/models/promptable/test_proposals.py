from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from torch.utils._python_dispatch import TorchDispatchMode

from models.promptable import candidates, proposals
from models.promptable.base import ProposalConfig
from models.promptable.proposals import grid_xy
from models.promptable.sam import SamRegionModel
from tests.models.promptable.tiny import TINY, picture, tiny_model, tiny_sam

# Random networks are neither sure nor stable, and many of their masks are alike.
LOOSE = ProposalConfig(
    mode="exact",
    points_per_side=12,
    least_iou=0.3,
    least_stability=0.6,
    stability_offset=0.5,
    nms_iou=0.95,
)


def package_generator(sam, config: ProposalConfig) -> SamAutomaticMaskGenerator:
    return SamAutomaticMaskGenerator(
        sam,
        points_per_side=config.points_per_side,
        pred_iou_thresh=config.least_iou,
        stability_score_thresh=config.least_stability,
        stability_score_offset=config.stability_offset,
        box_nms_thresh=config.nms_iou,
    )


# Seed 5 finds nothing; the others find from two to 163 masks before suppression.
@pytest.mark.parametrize("seed", [0, 1, 3, 5])
@pytest.mark.parametrize("size_hw", [(97, 130), (64, 40), (150, 260)])
@pytest.mark.parametrize("nms_iou", [0.95, 1.0])
def test_exact_proposals_are_those_of_the_package(seed, size_hw, nms_iou):
    sam = tiny_sam(seed)
    image = picture(seed, size_hw)
    config = replace(LOOSE, nms_iou=nms_iou)
    theirs = package_generator(sam, config).generate(image)
    model = SamRegionModel(sam, TINY, "digest", "cpu")
    ours = model.proposals(model.encode(image), config)
    assert len(ours) == len(theirs)
    matched = 0
    for n, record in enumerate(theirs):
        mask, expected = ours.rles[n].decode(), record["segmentation"]
        matched += (mask & expected).sum() >= 0.99 * (mask | expected).sum()
        assert ours.iou[n] == pytest.approx(record["predicted_iou"], abs=1e-4)
        assert ours.stability[n] == pytest.approx(record["stability_score"], abs=1e-3)
        assert tuple(ours.points_xy[n]) == pytest.approx(record["point_coords"][0], abs=1e-4)
        assert tuple(ours.boxes_xyxy[n]) == ours.rles[n].box_xyxy()
        assert ours.areas_px[n] == ours.rles[n].area_px
    assert matched >= 0.99 * len(theirs)


def test_the_comparison_is_of_dozens_of_masks():
    config = replace(LOOSE, nms_iou=1.0)
    for seed in (0, 1, 3):
        model = tiny_model(seed)
        assert len(model.proposals(model.encode(picture(seed, (97, 130))), config)) >= 24


def test_thresholds_of_nothing_keep_all_masks_that_have_pixels():
    config = replace(LOOSE, least_iou=0.0, least_stability=0.0, nms_iou=1.0, points_per_side=4)
    sam = tiny_sam(1)
    image = picture(1, (40, 50))
    theirs = package_generator(sam, config).generate(image)
    model = SamRegionModel(sam, TINY, "digest", "cpu")
    ours = model.proposals(model.encode(image), config)
    assert len(theirs) == 48
    assert len(ours) == sum(record["area"] > 0 for record in theirs)


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_nothing_is_found_where_nothing_suffices(mode):
    model = tiny_model()
    config = replace(LOOSE, mode=mode, least_iou=1e9)
    assert len(model.proposals(model.encode(picture(0, (30, 40))), config)) == 0


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 90), (90, 2)])
def test_images_of_a_few_pixels(mode, size_hw):
    model = tiny_model(2)
    config = replace(LOOSE, mode=mode, least_iou=0.0, points_per_side=3)
    masks = model.proposals(model.encode(picture(0, size_hw)), config)
    assert all(rle.size_hw == size_hw for rle in masks.rles)
    assert (masks.areas_px > 0).all()


class Asked:
    """Counts the points that a region model asks its network about."""

    def __init__(self, model: SamRegionModel) -> None:
        self.points = 0
        encoder = model.sam.prompt_encoder
        encoder.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, _module, _inputs, keywords, _output):
        self.points += len(keywords["points"][0])


def test_the_fast_mode_asks_again_only_where_nothing_was_found():
    for seed in range(4):
        model = tiny_model(seed)
        asked = Asked(model)
        embedding = model.encode(picture(seed, (97, 130)))
        config = replace(LOOSE, mode="fast")
        masks = model.proposals(embedding, config)
        points = grid_xy(12, (97, 130))
        first = points[::2, ::2].reshape(-1, 2)
        second = {tuple(p) for p in np.asarray(points, np.float32).reshape(-1, 2)} - {
            tuple(p) for p in np.asarray(first, np.float32)
        }
        assert 36 <= asked.points <= 144
        assert (np.diff(masks.iou) <= 0).all()
        found_later = [tuple(p) in second for p in masks.points_xy]
        if asked.points == 36:
            assert not any(found_later)


def test_fast_masks_are_masks_of_the_exact_mode():
    """Every one is a mask of some point; which of two alike stays may differ."""
    for seed in (0, 1):
        model = tiny_model(seed)
        embedding = model.encode(picture(seed, (97, 130)))
        every = model.proposals(embedding, replace(LOOSE, nms_iou=1.0, least_stability=0))
        flat = np.array([rle.decode().ravel() for rle in every.rles])
        for rle in model.proposals(embedding, replace(LOOSE, mode="fast")).rles:
            mask = rle.decode().ravel()
            iou = (flat & mask).sum(1) / (flat | mask).sum(1)
            assert iou.max() >= 0.99


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the most elements of a tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_memory_does_not_grow_with_the_number_of_points(mode, monkeypatch):
    monkeypatch.setattr(proposals, "prompts_at_once", lambda *_: 8)
    model = tiny_model(1)
    embedding = model.encode(picture(1, (97, 130)))
    largest = []
    for points_per_side in (8, 16):
        config = replace(LOOSE, mode=mode, points_per_side=points_per_side)
        with LargestTensor() as noted:
            masks = model.proposals(embedding, config)
        largest.append(noted.elements)
        assert len(masks) > 0
    assert largest[1] <= 1.05 * largest[0]


def test_a_grid_is_the_centres_of_cells():
    np.testing.assert_allclose(
        grid_xy(2, (8, 12)), [[[3, 2], [9, 2]], [[3, 6], [9, 6]]], atol=1e-12
    )


def test_masks_are_settled_at_once_where_too_many_are_held(monkeypatch):
    model = tiny_model(1)
    embedding = model.encode(picture(1, (60, 90)))
    held = model.proposals(embedding, LOOSE)
    monkeypatch.setattr(candidates, "_HELD_BYTES", 0)
    at_once = model.proposals(embedding, LOOSE)
    assert len(held) > 0
    for one, other in zip(held.rles, at_once.rles, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)
