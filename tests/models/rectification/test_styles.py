import numpy as np
import pytest

from models.rectification.styles import strongly_restyled

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def styled(seed: int, image: np.ndarray = IMAGE) -> np.ndarray:
    return strongly_restyled(image, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_same_seed_same_style_and_the_image_is_left_alone(seed):
    before = IMAGE.copy()
    found = styled(seed)
    np.testing.assert_array_equal(found, styled(seed))
    np.testing.assert_array_equal(IMAGE, before)
    assert found.shape == IMAGE.shape
    assert found.dtype == np.uint8


def test_styles_differ():
    assert len({styled(seed).tobytes() for seed in range(12)}) == 12


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (300, 2)])
def test_images_of_any_size(size_hw):
    for seed in range(12):
        assert styled(seed, np.full((*size_hw, 3), 90, np.uint8)).shape == (*size_hw, 3)
