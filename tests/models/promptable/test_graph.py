from typing import Any

import numpy as np
import pytest
import torch

from models.errors import ModelRefused
from models.promptable.base import Embedding, Prompts, ProposalConfig
from models.promptable.builtin import built_in_digest, load_built_in
from models.promptable.graph import LEVELS, MOST_AREA, levelled

pytest.importorskip("skimage")

# Three flat areas: the left half, and the right half above and below.
IMAGE = np.zeros((40, 60, 3), np.uint8)
IMAGE[:, 30:] = 120
IMAGE[20:, 30:] = 250
LEFT = np.zeros((40, 60), bool)
LEFT[:, :30] = True
ABOVE = np.zeros((40, 60), bool)
ABOVE[:20, 30:] = True
BELOW = ~LEFT & ~ABOVE


@pytest.fixture(scope="module")
def model():
    return load_built_in("graph")


def answer(model: Any, **prompts: Any) -> Any:
    masks = model.masks(model.encode(IMAGE), Prompts(**prompts))
    return [rle.decode() for rle in masks.rles]


def iou(one: Any, other: Any) -> Any:
    return (one & other).sum() / (one | other).sum()


def test_it_has_no_features(model):
    embedding = model.encode(IMAGE)
    assert embedding.features is None
    assert embedding.size_hw == (40, 60)
    assert model.kind == "graph"


def test_proposals_are_nested_divisions_of_the_image(model):
    masks = model.proposals(model.encode(IMAGE), ProposalConfig())
    for area in (LEFT, ABOVE, BELOW):
        assert max(iou(rle.decode(), area) for rle in masks.rles) > 0.75
    drawings = [rle.decode() for rle in masks.rles]
    weights = masks.stability.tolist()
    # Each level divides the image once, and a region counts once for each level it is found on;
    # but for the first, on which everything has its place, large ones are left out.
    found_on = sum(w * d for w, d in zip(weights, drawings, strict=True))
    assert found_on.max() <= 1 + 1e-6
    assert found_on.min() >= 1 / len(LEVELS) - 1e-6
    for one in drawings:
        for other in drawings:
            shared = (one & other).sum()
            assert shared in (0, one.sum(), other.sum())
    assert len({d.tobytes() for d in drawings}) == len(drawings)
    assert masks.areas_px.tolist() == [d.sum() for d in drawings]
    assert np.isnan(masks.points_xy).all()


def test_what_fills_much_of_an_image_is_proposed_only_if_it_is_one_segment(model):
    # Stripes that differ little merge early, by and by to the whole image.
    stripes = np.kron(np.arange(20, dtype=np.uint8)[None], np.ones((40, 6), np.uint8))
    image = np.repeat(100 + 3 * stripes[..., None], 3, axis=2)
    masks = model.proposals(model.encode(image), ProposalConfig())
    assert 0.05 < masks.areas_px.max() / stripes.size <= MOST_AREA
    covered = sum(rle.decode().astype(int) for rle in masks.rles)
    assert covered.min() >= 1

    flat = model.proposals(model.encode(np.full((40, 120, 3), 90, np.uint8)), ProposalConfig())
    assert flat.areas_px.tolist() == [40 * 120]


def test_contrast_is_brought_to_one_level(model):
    dark = (IMAGE // 8) + 20
    assert levelled(dark).astype(float).std() == pytest.approx(45, rel=0.1)
    assert levelled(IMAGE).astype(float).std() == pytest.approx(45, rel=0.1)
    flat = levelled(np.full((8, 8, 3), 77, np.uint8))
    assert (flat == 128).all()
    masks = model.proposals(model.encode(dark), ProposalConfig())
    for area in (LEFT, ABOVE, BELOW):
        # A segment alone, without the blurred rim with which it would be too large.
        assert max(iou(rle.decode(), area) for rle in masks.rles) > 0.65


def test_scale_and_least_area_grow_with_the_image(model):
    large = np.kron(IMAGE, np.ones((20, 20, 1), np.uint8))
    large[5:9, 5:9] = 255  # 16 px are a speck in an image of 1200 px
    masks = model.proposals(model.encode(large), ProposalConfig())
    assert masks.areas_px.min() >= 10 * (1200 / 320) ** 2 - 1


def test_a_box_gets_what_lies_mostly_inside(model):
    boxes = np.array([[28, 0, 59, 39], [-5, -5, 31, 60], [5, 5, 9, 9]], np.float32)
    right, left, nothing = answer(model, boxes_xyxy=boxes)
    assert iou(right, ~LEFT) > 0.85
    assert iou(left, LEFT) > 0.85
    assert not nothing.any()


def test_points_get_what_lies_under_them_and_take_it_away(model):
    points = np.array([[[45, 5], [-1, -1]], [[45, 5], [45, 35]]], np.float32)
    labels = np.array([[1, -1], [1, 1]])
    above, right = answer(model, points_xy=points, point_labels=labels)
    assert iou(above, ABOVE) > 0.75
    assert iou(right, ~LEFT) > 0.85
    (below,) = answer(
        model,
        boxes_xyxy=np.array([[28, 0, 59, 39]], np.float32),
        points_xy=np.array([[[45, 5]]], np.float32),
        point_labels=np.array([[0]]),
    )
    assert not below[:15, 35:].any()
    assert below[25:, 35:].all()


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (1, 50)])
def test_images_of_a_few_pixels(model, size_hw):
    embedding = model.encode(np.zeros((*size_hw, 3), np.uint8))
    masks = model.proposals(embedding, ProposalConfig())
    assert masks.areas_px.tolist() == [size_hw[0] * size_hw[1]]


def test_it_needs_the_image(model):
    without = Embedding((4, 4), torch.zeros(1, 1, 1), (4, 4))
    with pytest.raises(ValueError, match="look at the image"):
        model.proposals(without, ProposalConfig())


def test_the_digest_names_the_library(model, monkeypatch):
    assert model.digest == built_in_digest("graph")
    monkeypatch.setattr("models.region_models.version", lambda _: "0.0.1")
    assert built_in_digest("graph") != model.digest


def test_without_the_library_it_is_missing(monkeypatch):
    monkeypatch.setattr("models.region_models.GRAPH_PACKAGE", "scikit-image-that-is-not-there")
    with pytest.raises(ModelRefused, match=r"selvage\[graph\]") as caught:
        load_built_in("graph")
    assert caught.value.code == "region-model-missing"
