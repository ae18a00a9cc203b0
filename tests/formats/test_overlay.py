"""Labels and confidences as pictures."""

import numpy as np
import pytest

from formats.overlay import colour_label, heat, overlay

PALETTE = [(255, 0, 0), (0, 200, 0)]


def test_classes_get_their_colour_and_ignore_black() -> None:
    label = np.array([[0, 1, 255, 7]], np.uint8)
    assert colour_label(label, PALETTE).tolist() == [
        [[255, 0, 0], [0, 200, 0], [0, 0, 0], [0, 0, 0]]
    ]


def test_an_empty_palette_is_all_black() -> None:
    assert colour_label(np.zeros((1, 1), np.uint8), []).tolist() == [[[0, 0, 0]]]


def test_overlay_mixes_and_leaves_ignored_pixels_alone() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    label = np.array([[0, 1, 255]], np.uint8)
    assert overlay(image, label, PALETTE, 0.4).tolist() == [
        [[162, 60, 60], [60, 140, 60], [100, 100, 100]]
    ]
    np.testing.assert_array_equal(overlay(image, label, PALETTE, 0.0), image)


def test_overlay_needs_equal_sizes_and_a_weight() -> None:
    image, label = np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match="differ in size"):
        overlay(image, label, PALETTE, 0.5)
    with pytest.raises(ValueError, match="alpha"):
        overlay(image, label.T, PALETTE, 1.5)


def test_heat_goes_from_dark_to_light() -> None:
    colours = heat(np.arange(256, dtype=np.uint8).reshape(1, 256))[0]
    assert colours[0].tolist() == [68, 1, 84]
    assert colours[255].tolist() == [253, 231, 37]
    # Relative luminance (ITU-R BT.709) never falls and has no jump.
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    steps = np.diff(luminance)
    assert steps.min() >= -0.5
    assert steps.max() <= 3
