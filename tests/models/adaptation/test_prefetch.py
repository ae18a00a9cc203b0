"""Batches one step ahead."""

import pytest
import torch

from models.adaptation.batches import Batch, BatchSource
from models.adaptation.prefetch import Prefetched
from models.adaptation.rare_classes import class_pixels
from tests.models.adaptation.toys import CPU, QUICK, source, target


class Counting:
    """Keeps which steps were asked for; one may be broken."""

    def __init__(self, broken: int | None = None) -> None:
        self.asked: list[int] = []
        self._broken = broken
        self._source = BatchSource(source(), target(), QUICK, class_pixels(source(), 3), 0, CPU)

    def batch(self, step: int, rank: int, processes: int) -> Batch:
        self.asked.append(step)
        if step == self._broken:
            raise ValueError("cannot be read")
        return self._source.batch(step, rank, processes)


def test_the_same_samples_each_drawn_once_and_none_beyond_the_end():
    counting = Counting()
    with Prefetched(counting, steps=3) as ahead:
        found = [ahead.batch(step, 0, 1) for step in range(3)]
    assert counting.asked == [0, 1, 2]
    expected = [Counting().batch(step, 0, 1) for step in range(3)]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.target.images, other.target.images)
        assert one.places == other.places


def test_another_step_than_the_one_ahead_is_drawn_all_the_same():
    with Prefetched(Counting(), steps=9) as ahead:
        ahead.batch(0, 0, 1)
        found = ahead.batch(5, 1, 2)
    assert torch.equal(found.target.images, Counting().batch(5, 1, 2).target.images)


def test_an_error_comes_with_its_own_step():
    with Prefetched(Counting(broken=2), steps=4) as ahead:
        ahead.batch(0, 0, 1)
        ahead.batch(1, 0, 1)
        with pytest.raises(ValueError, match="cannot be read"):
            ahead.batch(2, 0, 1)
