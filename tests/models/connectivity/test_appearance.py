from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.appearance import appearance_features

COLOUR, TEXTURE, SHAPE, BORDER = slice(0, 6), slice(6, 8), slice(8, 14), slice(14, 16)
BESIDE = slice(16, None)


def test_two_halves_of_one_colour_each():
    components = np.array([[1, 1, 2, 2], [1, 1, 2, 2]], np.int32)
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 2:] = 255
    found = appearance_features(components, np.array([0, 1], np.uint8), 2, image)
    assert found.shape == (2, 17 + 2)
    np.testing.assert_allclose(found[0, COLOUR], 0, atol=1e-6)
    np.testing.assert_allclose(found[1, COLOUR], [1, 0, 0, 0, 0, 0], atol=1e-4)
    assert (found[:, TEXTURE] > 0).all()
    # log area, log aspect, fill, centre x and y, three of four sides at the edge
    np.testing.assert_allclose(found[0, SHAPE], [np.log(4), 0, 1, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(found[1, SHAPE], [np.log(4), 0, 1, 0.75, 0.5, 0.75])
    # black to white is 100 in L; two pixel edges over the root of four pixels
    np.testing.assert_allclose(found[:, BORDER], [[1, 1], [1, 1]], atol=1e-4)
    assert found[:, BESIDE].tolist() == [[0, 1, 0], [1, 0, 0]]


def test_a_region_alone_in_the_middle():
    components = np.zeros((5, 6), np.int32)
    components[1:3, 2:5] = 1
    image = np.full((5, 6, 3), 120, np.uint8)
    found = appearance_features(components, np.array([3], np.uint8), 4, image)
    np.testing.assert_allclose(found[0, SHAPE], [np.log(6), np.log(3 / 2), 1, 3.5 / 6, 2 / 5, 0])
    np.testing.assert_allclose(found[0, BORDER], [0, 10 / 6**0.5], atol=1e-6)
    assert found[0, BESIDE].tolist() == [0, 0, 0, 0, 1]  # all around is no region
    np.testing.assert_allclose(found[0, TEXTURE], 0, atol=1e-6)


def test_one_region_that_is_the_whole_image():
    found = appearance_features(
        np.ones((3, 3), np.int32), np.zeros(1, np.uint8), 1, np.zeros((3, 3, 3), np.uint8)
    )
    assert np.isfinite(found).all()
    assert found[0, BORDER].tolist() == [0, 0]
    assert found[0, BESIDE].tolist() == [0, 0]
    assert found[0, SHAPE].tolist() == [pytest.approx(np.log(9)), 0, 1, 0.5, 0.5, 1]


def by_hand(components: Any, classes: Any, num_classes: Any, image: Any, i: Any) -> Any:
    """Colour, shape and border of region i + 1, pixel by pixel."""
    mask = components == i + 1
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    ys, xs = np.nonzero(mask)
    height, width = mask.shape
    beside, distances = np.zeros(num_classes + 1), []
    for y, x in zip(ys, xs, strict=True):
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and components[v, u] != i + 1:
                other = components[v, u]
                beside[num_classes if other == 0 else classes[other - 1]] += 1
                distances.append(np.linalg.norm(lab[y, x] - lab[v, u]))
    box_h, box_w = ys.max() - ys.min() + 1, xs.max() - xs.min() + 1
    edges = (xs.min() == 0, ys.min() == 0, xs.max() == width - 1, ys.max() == height - 1)
    length = max(len(distances), 1)
    return [
        *lab[mask].mean(0),
        *lab[mask].std(0),
        np.log(mask.sum()),
        np.log(box_w / box_h),
        mask.sum() / (box_h * box_w),
        (xs.mean() + 0.5) / width,
        (ys.mean() + 0.5) / height,
        sum(edges) / 4,
        sum(distances) / length,
        len(distances) / mask.sum() ** 0.5,
        *(beside / length),
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 999))
def test_all_regions_at_once_are_as_one_by_one(height, width, seed):
    rng = np.random.default_rng(seed)
    components = rng.integers(0, 4, (height, width)).astype(np.int32)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    classes = rng.integers(0, 2, 3).astype(np.uint8)
    found = np.delete(appearance_features(components, classes, 2, image), np.r_[TEXTURE], axis=1)
    assert np.isfinite(found).all()
    for i in range(3):
        if (components == i + 1).any():
            expected = by_hand(components, classes, 2, image, i)
            np.testing.assert_allclose(found[i], expected, atol=2e-4)


def test_texture_tells_fine_from_coarse():
    rng = np.random.default_rng(0)
    image = np.full((32, 64, 3), 128, np.uint8)
    image[:, 32:] = rng.integers(0, 256, (32, 32, 1))
    components = np.ones((32, 64), np.int32)
    components[:, 32:] = 2
    found = appearance_features(components, np.zeros(2, np.uint8), 1, image)[:, TEXTURE]
    assert found[1, 0] > 5 * found[0, 0]
    assert found[1, 0] > 3 * found[1, 1]  # blurring takes the noise away
