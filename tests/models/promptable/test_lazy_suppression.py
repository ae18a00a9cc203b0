import numpy as np
import pytest
import torch

from models.promptable.lazy_suppression import suppress_lazily
from models.torchvision_operators import greedy_nms


def always(_index: int) -> bool:
    return True


def boxes_of(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (count, 2))
    return np.concatenate([corners, corners + rng.integers(0, 25, (count, 2))], axis=1).astype(
        float
    )


@pytest.mark.parametrize("iou_threshold", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("slack", [0, 3, 100])
def test_it_keeps_what_plain_suppression_keeps(slack, iou_threshold):
    for seed in range(20):
        boxes = boxes_of(seed, 40)
        rng = np.random.default_rng(seed)
        scores = rng.integers(0, 12, 40).astype(np.float32)
        there, good = rng.random((2, 40)) < 0.8
        outward = np.array([-1, -1, 1, 1]) * rng.integers(0, slack + 1, (40, 4))
        asked: list[int] = []

        def true_box(index, boxes=boxes, there=there, asked=asked):
            asked.append(index)
            return boxes[index] if there[index] else None

        kept = suppress_lazily(
            scores, boxes - outward, boxes + outward, iou_threshold, true_box, good.__getitem__
        )
        real = np.flatnonzero(there & good)
        expected = greedy_nms(
            torch.from_numpy(boxes[real]).float(), torch.from_numpy(scores[real]), iou_threshold
        )
        assert kept == real[expected.numpy()].tolist()
        assert len(asked) == len(set(asked))


def test_clear_cases_are_not_asked_for():
    # The first holds the second nearly, touches the third, and may or may not hold the fourth.
    inner = np.array([[0, 0, 10, 10], [0, 0, 9.5, 9.9], [10, 10, 20, 20], [0, 0, 8, 8]], float)
    outer = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [9, 9, 21, 21], [0, 0, 10, 10]], float)
    asked = []

    def true_box(index):
        asked.append(index)
        return inner[index]

    kept = suppress_lazily(np.array([4.0, 3, 2, 1]), inner, outer, 0.7, true_box, always)
    assert kept == [0, 2, 3]
    assert asked == [0, 3, 2]


def test_nothing_to_suppress():
    none = np.zeros((0, 4))
    assert suppress_lazily(np.zeros(0), none, none, 0.5, lambda _: None, always) == []
