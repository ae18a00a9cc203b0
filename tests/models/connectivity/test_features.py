from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models.connectivity.features import (
    FeatureMap,
    Pixels,
    label_free_columns,
    mean_over_regions,
    region_features,
    region_sums,
    votes_of,
)
from models.promptable.base import Embedding

COMPONENTS = np.array([[1, 1, 2, 2], [1, 3, 3, 0], [3, 3, 3, 0]], np.int32)
CLASSES = np.array([0, 2, 1], np.uint8)
KEPT = np.array([[0, 0, 1, 255], [2, 1, 1, 1], [255, 255, 255, 0]], np.uint8)
WEIGHT = np.array([[0.5, 1, 1, 1], [0.5, 0.25, 0.25, 1], [1, 1, 1, 1]], np.float32)
QUALITY = np.array([1.0, 0.5, 0.25], np.float32)


def pixels(**given: Any) -> Any:
    facts = {
        "image": np.full((3, 4, 3), 90, np.uint8),
        "kept": KEPT,
        "weight": WEIGHT,
        "p_max": np.full((3, 4), 0.75, np.float32),
    }
    return Pixels(**{**facts, **given})


def placed(feature_map: Any, size_hw: Any) -> Any:
    """The features of each pixel, [C, H, W]: the brute-force reference."""
    channels, cells_h, cells_w = feature_map.features.shape
    height, width = size_hw
    whole = torch.zeros(channels, height, width)
    for y in range(height):
        for x in range(width):
            row = int((y + 0.5) * cells_h / feature_map.covers_hw_px[0])
            column = int((x + 0.5) * cells_w / feature_map.covers_hw_px[1])
            whole[:, y, x] = feature_map.features[
                :, min(row, cells_h - 1), min(column, cells_w - 1)
            ]
    return whole


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.floats(0, 5),
    st.integers(0, 99),
)
def test_a_pooled_vector_is_the_mean_over_the_mask(height, width, cells_h, cells_w, margin, seed):
    rng = np.random.default_rng(seed)
    components = rng.integers(0, 4, (height, width)).astype(np.int32)
    features = torch.from_numpy(rng.normal(size=(2, cells_h, cells_w)).astype(np.float32))
    feature_map = FeatureMap(features, (height + margin, width + margin))
    found = mean_over_regions(components, 3, feature_map)
    whole = placed(feature_map, (height, width))
    for i in range(3):
        mask = torch.from_numpy(components == i + 1)
        expected = whole[:, mask].mean(1) if mask.any() else torch.zeros(2)
        torch.testing.assert_close(found[i], expected)


def test_the_cells_are_those_of_a_nearest_resize():
    features = torch.randn(3, 5, 7)
    components = np.arange(1, 20 * 28 + 1, dtype=np.int32).reshape(20, 28)
    found = mean_over_regions(components, 20 * 28, FeatureMap(features, (20, 28)))
    resized = F.interpolate(features[None], size=(20, 28), mode="nearest")[0]
    torch.testing.assert_close(found, resized.flatten(1).T)


def test_pixels_out_of_reach_of_a_mask_do_not_change_its_vector():
    """Two convolutions of 3 x 3 on an image: a receptive field of two pixels around the mask."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))
    components = np.zeros((9, 12), np.int32)
    components[3:5, 2:5] = 1
    components[0, 11] = 2
    image = torch.rand(3, 9, 12)

    def pooled(seen: Any) -> Any:
        with torch.no_grad():
            return mean_over_regions(components, 2, FeatureMap(encoder(seen[None])[0], (9, 12)))

    before = pooled(image)
    far = image.clone()
    far[:, :, 7:] = 0
    assert torch.equal(pooled(far)[0], before[0])
    assert not torch.equal(pooled(far)[1], before[1])
    near = image.clone()
    near[:, :, 6] = 0
    assert not torch.equal(pooled(near)[0], before[0])


def test_votes_and_sums():
    votes = votes_of(COMPONENTS, 3, 3, KEPT, WEIGHT)
    assert votes.tolist() == [[1.5, 0, 0.5], [0, 1, 0], [0, 0.5, 0]]
    assert region_sums(COMPONENTS, 3).tolist() == [3, 2, 5]
    assert region_sums(COMPONENTS, 3, WEIGHT).tolist() == [2, 2, 3.5]


def test_the_group_votes():
    probabilities = torch.zeros(3, 3, 4)
    probabilities[2, 0] = 1  # the first row is of class 2
    found = region_features(
        COMPONENTS,
        CLASSES,
        3,
        pixels(probabilities=FeatureMap(probabilities, (3, 4))),
        QUALITY,
        ("votes",),
    )
    assert list(found) == ["votes"]
    assert found["votes"].dtype == np.float16
    expected = [
        # 3 shares, 3 probabilities, kept, own share, p_max, own probability, quality
        [0.75, 0, 0.25, 0, 0, 2 / 3, 1, 0.75, 0.75, 0, 1],
        [0, 1, 0, 0, 0, 1, 0.5, 0, 0.75, 1, 0.5],
        [0, 1, 0, 0, 0, 0, 0.4, 1, 0.75, 0, 0.25],
    ]
    np.testing.assert_allclose(found["votes"], expected, atol=1e-3)
    assert label_free_columns(3) == 6


def test_groups_without_a_source_are_left_out_and_widths_are_fixed():
    embedding = Embedding((3, 4), torch.ones(8, 2, 2), (4, 4))
    segmenter = FeatureMap(torch.ones(6, 2, 2), (3, 4))
    found = region_features(
        COMPONENTS, CLASSES, 3, pixels(segmenter=segmenter, embedding=embedding), QUALITY
    )
    widths = {name: array.shape for name, array in found.items()}
    assert widths == {
        "segmenter": (3, 6),
        "region_model": (3, 8),
        "appearance": (3, 20),
        "votes": (3, 11),
    }
    without = region_features(COMPONENTS, CLASSES, 3, pixels(), QUALITY)
    assert list(without) == ["appearance", "votes"]
    blind = Embedding((3, 4), None, (3, 4))
    assert "region_model" not in region_features(
        COMPONENTS, CLASSES, 3, pixels(embedding=blind), QUALITY
    )


def test_no_regions_have_features_of_the_same_widths():
    nothing = region_features(
        np.zeros((3, 4), np.int32),
        np.zeros(0, np.uint8),
        3,
        pixels(segmenter=FeatureMap(torch.ones(6, 2, 2), (3, 4))),
        np.zeros(0, np.float32),
    )
    assert {n: a.shape for n, a in nothing.items()} == {
        "segmenter": (0, 6),
        "appearance": (0, 20),
        "votes": (0, 11),
    }


def test_features_that_are_not_finite_are_refused_by_name():
    bad = torch.ones(6, 3, 4)
    bad[2, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="'segmenter'"):
        region_features(COMPONENTS, CLASSES, 3, pixels(segmenter=FeatureMap(bad, (3, 4))), QUALITY)
    embedding = Embedding((3, 4), bad, (3, 4))
    with pytest.raises(ValueError, match="'region_model'"):
        region_features(COMPONENTS, CLASSES, 3, pixels(embedding=embedding), QUALITY)


def test_features_beyond_float16_are_cut():
    large = FeatureMap(torch.full((1, 3, 4), 1e9), (3, 4))
    found = region_features(
        COMPONENTS, CLASSES, 3, pixels(segmenter=large), QUALITY, ("segmenter",)
    )
    assert found["segmenter"].tolist() == [[65504.0]] * 3
