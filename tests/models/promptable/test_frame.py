import numpy as np
import pytest
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from models.promptable.frame import Columns, Frame
from models.promptable.sam_architecture import build_sam
from tests.models.promptable.tiny import TINY

SIZES_HW = [(64, 64), (31, 57), (200, 90), (300, 301), (5, 130), (130, 5), (1, 1), (17, 400)]


def noise(seed: int, smooth: int = 2) -> torch.Tensor:
    """Logits [3, 32, 32] with blobs of some pixels."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(3, 1, 32 + smooth, 32 + smooth, generator=generator)
    return torch.nn.functional.avg_pool2d(rough, smooth + 1, stride=1)[:, 0] * (smooth + 1)


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_image_and_places_are_those_of_the_package(size_hw):
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    frame, theirs = Frame(size_hw, 64, 32), ResizeLongestSide(64)
    np.testing.assert_array_equal(frame.image_in_square(image), theirs.apply_image(image))
    places = np.random.default_rng(1).uniform(0, 100, (7, 2))
    np.testing.assert_array_equal(
        frame.places_in_square(places), theirs.apply_coords(places, size_hw)
    )


def test_a_line_of_pixels_keeps_a_row_in_the_square():
    frame = Frame((1, 1000), 64, 32)
    assert frame.used_hw == (1, 64)
    assert frame.image_in_square(np.full((1, 1000, 3), 7, np.uint8)).shape == (1, 64, 3)


def test_the_square_covers_more_than_the_image_where_it_is_padded():
    assert Frame((100, 200), 64, 32).covers_hw_px == (200, 200)


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("threshold", [0.0, 0.7, -0.7])
@pytest.mark.parametrize("smooth", [0, 4])
def test_masks_are_those_of_the_package(size_hw, threshold, smooth):
    frame = Frame(size_hw, TINY.image_px, 32)
    sam = build_sam(TINY)
    for seed in range(3):
        low = noise(seed, smooth)
        expected = sam.postprocess_masks(low[:, None], frame.used_hw, size_hw)[:, 0] > threshold
        for square, mask in zip(frame.in_square(low), expected.numpy(), strict=True):
            columns = Columns.of_mask(square, frame, least=-0.7)
            rle = columns.rle(threshold)
            np.testing.assert_array_equal(rle.decode(), mask)
            assert columns.area_px(threshold) == mask.sum()
            assert int(rle.counts.sum()) == mask.size
            assert (rle.counts[1:] > 0).all()


@pytest.mark.parametrize(("value", "share"), [(-1.0, 0), (1.0, 1), (0.0, 0)])
def test_masks_of_nothing_and_of_everything(value, share):
    frame = Frame((20, 30), 64, 32)
    square = frame.in_square(torch.full((1, 32, 32), value))[0]
    rle = Columns.of_mask(square, frame, least=-0.5).rle(0.0)
    assert rle.area_px == share * 600
    assert rle.decode().all() == bool(share)
