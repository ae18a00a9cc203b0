import numpy as np
import pytest
import torch

from benchmarks.region_model.batches import SampleBatch, as_batch, draw_batches
from benchmarks.region_model.samples import draw_sample
from tests.benchmarks.region_model.tiny import tiny_sources

SEGMENTS = [
    [1, 1, 2, 2],
    [1, 1, 2, 3],
    [0, 0, 3, 3],
    [0, 0, 3, 3],
]


def batch(numbers: list[int]) -> SampleBatch:
    count = len(numbers)
    return SampleBatch(
        images=torch.zeros(1, 4, 4, 3, dtype=torch.uint8),
        segments=torch.tensor([SEGMENTS], dtype=torch.int32),
        numbers=torch.tensor([numbers], dtype=torch.int32),
        boxes_xyxy=torch.zeros(1, count, 4),
        points_xy=torch.zeros(1, count, 2, 2),
    )


def test_masks_are_shares_of_each_place():
    masks = batch([2, 3]).masks(2)
    assert masks.tolist() == [[[0, 0.75], [0, 0]], [[0, 0.25], [0, 1]]]


def test_what_has_no_number_is_not_valid():
    assert batch([2, 3]).valid(2).tolist() == 2 * [[[1, 1], [0, 1]]]


def test_a_place_of_two_segments_is_not_pure():
    assert batch([1]).pure(2).tolist() == [[[1, 0], [0, 3]]]
    assert batch([1]).pure(2).dtype == torch.int64


def test_samples_are_stacked_in_their_order():
    samples = [draw_sample(tiny_sources(1)[0], 64, np.random.default_rng(i)) for i in range(3)]
    assert all(sample is not None for sample in samples)
    stacked = as_batch([sample for sample in samples if sample is not None])
    for name, values in vars(stacked).items():
        singular = "image" if name == "images" else name
        for value, sample in zip(values, samples, strict=True):
            np.testing.assert_array_equal(value.numpy(), getattr(sample, singular))


@pytest.mark.parametrize("first_step", [0, 2])
def test_what_is_drawn_depends_neither_on_workers_nor_on_where_one_begins(first_step):
    def drawn(workers: int, first: int) -> list[SampleBatch]:
        batches = draw_batches(
            tiny_sources(3), 64, seed=5, batch_size=2, first_step=first, steps=4, workers=workers
        )
        return list(batches)

    plain, others = drawn(1, 0)[first_step:], drawn(2, first_step)
    assert len(plain) == len(others) == 4 - first_step
    for one, other in zip(plain, others, strict=True):
        for name, value in vars(one).items():
            assert torch.equal(value, getattr(other, name)), name
