"""Rare-class sampling."""

import numpy as np
import pytest

from models.adaptation.data import SourceSample
from models.adaptation.rare_classes import RareClassSampler, class_pixels

# Image 0 holds class 0 alone, image 1 class 0 and some of class 1; nobody holds class 2.
PIXELS = np.array([[100, 0, 0], [70, 30, 0]])


def test_pixels_are_counted_by_image_and_class_without_255():
    image = np.zeros((1, 1, 3), np.uint8)
    samples = [
        SourceSample("a", image, np.array([[0, 1], [1, 255]], np.uint8)),
        SourceSample("b", image, np.array([[2]], np.uint8)),
    ]
    assert class_pixels(samples, 3).tolist() == [[1, 2, 0], [0, 0, 1]]
    assert class_pixels([], 3).shape == (0, 3)


def test_chances_are_those_of_the_paper():
    sampler = RareClassSampler(PIXELS, temperature=0.5)
    expected = np.exp([(1 - 0.85) / 0.5, (1 - 0.15) / 0.5])
    np.testing.assert_allclose(sampler.probabilities, expected / expected.sum())


def test_an_image_holds_the_class_that_it_was_drawn_for():
    sampler = RareClassSampler(PIXELS, temperature=0.5)
    drawn = [sampler.draw(np.random.default_rng(key)) for key in range(200)]
    assert {image for image, wanted in drawn if wanted == 1} == {1}
    assert {wanted for _, wanted in drawn} == {0, 1}


@pytest.mark.parametrize(("pixels", "temperature"), [(PIXELS, 0), (np.zeros((2, 3), int), 0.1)])
def test_without_classes_all_images_are_drawn_alike(pixels, temperature):
    sampler = RareClassSampler(pixels, temperature)
    drawn = [sampler.draw(np.random.default_rng(key)) for key in range(50)]
    assert {image for image, _ in drawn} == {0, 1}
    assert {wanted for _, wanted in drawn} == {None}


def test_a_low_temperature_does_not_overflow():
    assert RareClassSampler(PIXELS, 1e-4).probabilities.tolist() == [0, 1]
