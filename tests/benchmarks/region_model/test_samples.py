import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.region_model.photometry import strong_photometry
from benchmarks.region_model.samples import (
    LEAST_AREA_PX,
    PROMPTS_PER_IMAGE,
    Sample,
    box_of,
    draw_sample,
)
from tests.benchmarks.region_model.tiny import tiny_sources

SIDE = 64
SEEDS = range(40)


def drawn(seed: int, source=None) -> Sample | None:
    return draw_sample(source or tiny_sources(1)[0], SIDE, np.random.default_rng(seed))


def masks_of(sample: Sample) -> npt.NDArray[np.bool_]:
    return sample.segments == sample.numbers[:, None, None]


@pytest.mark.parametrize("seed", SEEDS)
def test_prompts_fit_their_masks_and_the_image(seed):
    sample = drawn(seed)
    assert sample is not None
    assert sample.image.shape == (SIDE, SIDE, 3)
    assert sample.image.dtype == np.uint8
    assert sample.segments.shape == (SIDE, SIDE)
    assert sample.numbers.shape == (PROMPTS_PER_IMAGE,)
    # Everything is annotated: what has a number is the image.
    height, width = (np.count_nonzero((sample.segments > 0).any(axis)) for axis in (1, 0))
    assert max(height, width) == SIDE
    assert not sample.image[height:].any()
    assert not sample.image[:, width:].any()
    assert (sample.numbers > 0).all()
    assert (masks_of(sample).sum((1, 2)) >= LEAST_AREA_PX).all()
    x0, y0, x1, y1 = sample.boxes_xyxy.T
    assert (x0 >= 0).all()
    assert (y0 >= 0).all()
    assert (x0 <= x1).all()
    assert (y0 <= y1).all()
    assert (x1 <= width - 1).all()
    assert (y1 <= height - 1).all()
    for mask, points in zip(masks_of(sample), sample.points_xy.astype(int), strict=True):
        assert all(mask[y, x] for x, y in points)


def test_boxes_lie_about_their_masks():
    errors = []
    for seed in SEEDS:
        sample = drawn(seed)
        assert sample is not None
        for mask, box in zip(masks_of(sample), sample.boxes_xyxy, strict=True):
            errors.append(np.abs(box - box_of(mask)))
    assert np.median(errors) <= 1
    assert np.max(errors) <= 20


def test_a_draw_depends_on_its_generator_alone():
    first, second, other = _sample(3), _sample(3), _sample(4)
    for name in ("image", "segments", "numbers", "boxes_xyxy", "points_xy"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("size_hw", [(8, 8), (9, 40), (50, 8), (200, 300)])
def test_images_of_any_size_fill_the_square(size_hw):
    source = np.zeros((*size_hw, 3), np.uint8), np.zeros(size_hw, np.uint8), None
    for seed in range(5):
        sample = drawn(seed, source)
        assert sample is not None
        inside = sample.segments > 0
        assert SIDE in [int(np.count_nonzero(inside.any(axis))) for axis in (0, 1)]
        assert (masks_of(sample) == inside).all()  # one class: one segment


def test_nothing_annotated_or_everything_too_small_gives_no_sample():
    image = np.zeros((48, 64, 3), np.uint8)
    assert drawn(0, (image, np.full((48, 64), 255, np.uint8), None)) is None
    speckled = np.full((48, 64), 255, np.uint8)
    speckled[::4, ::4] = 1
    assert drawn(0, (image, speckled, None)) is None


def test_what_is_not_annotated_has_no_number():
    image, label, _ = tiny_sources(1)[0]
    label = np.where(label == 1, np.uint8(255), label)
    sample = drawn(1, (image, label, None))
    assert sample is not None
    assert 0 < (sample.segments > 0).mean() < 0.7


def test_box_of_a_mask_ends_on_its_outermost_pixels():
    mask = np.zeros((5, 6), bool)
    mask[1, 2] = mask[3, 4] = True
    np.testing.assert_array_equal(box_of(mask), [2, 1, 4, 3])


def test_photometry_changes_colours_and_nothing_else():
    image = tiny_sources(1)[0][0]
    before = image.copy()
    means = []
    for seed in range(30):
        out = strong_photometry(image, np.random.default_rng(seed))
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        again = strong_photometry(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(out, again)
        means.append(out.mean())
    np.testing.assert_array_equal(image, before)
    assert max(means) - min(means) > 60  # from dark to bright


def _sample(seed: int) -> Sample:
    sample = drawn(seed)
    assert sample is not None
    return sample
