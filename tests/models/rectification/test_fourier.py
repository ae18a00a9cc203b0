import numpy as np
import pytest

from models.rectification.fourier import with_low_amplitudes_of


def texture(seed: int, mean: int, size_hw: tuple[int, int] = (24, 36)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(mean - 20, mean + 20, (*size_hw, 3), dtype=np.uint8)


def test_the_lowest_frequency_is_the_mean():
    image, other = texture(0, 60), texture(1, 180, (30, 20))
    found = with_low_amplitudes_of(image, other, 0.0)
    assert found.mean() == pytest.approx(180, abs=1)
    # Everything else is the image's own.
    np.testing.assert_allclose(found - found.mean(), image - image.mean(), atol=2)


def test_its_own_amplitudes_change_nothing():
    image = texture(0, 60)
    np.testing.assert_array_equal(with_low_amplitudes_of(image, image, 0.3), image)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 9), (9, 2)])
def test_images_of_any_size(size_hw):
    found = with_low_amplitudes_of(texture(0, 60, size_hw), texture(1, 180), 0.1)
    assert found.shape == (*size_hw, 3)
    assert found.dtype == np.uint8
