from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.connectivity.extraction import component_rles, regions_of
from models.connectivity.features import FeatureMap, Pixels
from models.rle import Rle

LABEL = np.array([[0, 0, 1, 255], [0, 1, 1, 255], [2, 2, 2, 2]], np.uint8)
PIECES = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 2, 2]], np.int32)
P_MAX = np.array([[0.5, 0.7, 0.9, 0.1], [0.6, 0.9, 0.6, 0.1], [1, 1, 0.5, 0.5]], np.float32)


def aggregation(label: Any = LABEL, pieces: Any = PIECES, quality: Any = (0.8, 0.3)) -> Any:
    return SimpleNamespace(label=label, pieces=pieces, quality=np.array(quality, np.float32))


def pixels(kept: Any = LABEL, p_max: Any = P_MAX, segmenter: Any = None) -> Any:
    image = np.zeros((*kept.shape, 3), np.uint8)
    return Pixels(image, kept, p_max, p_max, segmenter=segmenter)


def painted(regions: Any) -> Any:
    label = np.full(regions.size_hw, 255, np.uint8)
    for rle, class_id in zip(regions.rles, regions.classes, strict=True):
        label[rle.decode()] = class_id
    return label


@settings(deadline=None)
@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.integers(0, 4),
    )
)
def test_masks_of_all_components_at_once_are_as_one_by_one(values):
    numbers, components = np.unique(np.append(values, 0), return_inverse=True)
    numbered = np.asarray(components[:-1].reshape(values.shape), np.int32)
    found = component_rles(numbered, len(numbers) - 1)
    assert len(found) == len(numbers) - 1
    for i, rle in enumerate(found):
        expected = Rle.encode(numbered == i + 1)
        assert rle.size_hw == expected.size_hw
        assert rle.counts.tolist() == expected.counts.tolist()
        assert rle.counts.dtype == np.uint32


def test_regions_are_of_one_class_and_one_piece():
    regions = regions_of(aggregation(), pixels(), 3)
    assert regions.classes.dtype == np.uint8
    assert regions.quality.dtype == np.float32
    found = sorted(
        (int(c), round(float(q), 3), rle.pixels().tolist())  # places count down columns of three
        for c, q, rle in zip(regions.classes, regions.quality, regions.rles, strict=True)
    )
    assert found == [
        (0, 1.0, [0, 1, 3]),
        (1, 0.8, [4, 6, 7]),
        (2, 0.3, [8, 11]),
        (2, 1.0, [2, 5]),
    ]


def test_what_a_region_knows_of_itself():
    kept = np.where(P_MAX > 0.55, LABEL, 255).astype(np.uint8)
    regions = regions_of(aggregation(), pixels(kept), 3)
    (road,) = np.flatnonzero(regions.classes == 0)
    assert regions.areas_px[road] == 3
    assert regions.boxes_xyxy[road].tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(regions.votes[road], [1.3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(regions.confidence[road], 0.6, rtol=1e-6)
    assert regions.size_hw == (3, 4)
    assert sorted(regions.features) == ["appearance", "votes"]
    assert all(len(v) == 4 for v in regions.features.values())


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    st.integers(0, 99),
)
def test_painting_the_regions_gives_the_label_back(label, seed):
    rng = np.random.default_rng(seed)
    pieces = rng.integers(0, 3, label.shape).astype(np.int32)
    p_max = rng.random(label.shape).astype(np.float32)
    regions = regions_of(aggregation(label, pieces), pixels(label, p_max), 3)
    assert (painted(regions) == label).all()
    assert regions.areas_px.tolist() == [rle.area_px for rle in regions.rles]
    assert regions.boxes_xyxy.tolist() == [list(rle.box_xyxy()) for rle in regions.rles]
    assert not (regions.classes == 255).any()


def test_a_label_without_classes_has_no_regions():
    nothing = np.full((2, 3), 255, np.uint8)
    regions = regions_of(
        aggregation(nothing, np.zeros((2, 3), np.int32), ()),
        pixels(nothing, np.zeros((2, 3), np.float32)),
        3,
    )
    assert (len(regions), regions.votes.shape, regions.boxes_xyxy.shape) == (0, (0, 3), (0, 4))
    assert regions.features["votes"].shape == (0, 11)


def test_fifty_thousand_regions_of_one_pixel():
    label = np.full((448, 448), 255, np.uint8)
    label[::2, ::2] = 1
    regions = regions_of(
        aggregation(label, np.zeros_like(label, np.int32), ()),
        pixels(label, np.ones((448, 448), np.float32)),
        3,
    )
    assert len(regions) == 224 * 224 == 50_176
    assert (regions.areas_px == 1).all()
    assert (regions.confidence == 1).all()
    assert regions.rles[-1].pixels().tolist() == [446 * 448 + 446]


def test_a_class_that_does_not_exist_and_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not below 2"):
        regions_of(aggregation(), pixels(), 2)
    bad = FeatureMap(torch.full((2, 1, 1), float("inf")), (3, 4))
    with pytest.raises(ValueError, match="'segmenter'"):
        regions_of(aggregation(), pixels(segmenter=bad), 3)
