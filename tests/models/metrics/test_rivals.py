from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.confusion import Counts, LabelMap
from models.metrics.rivals import (
    RivalPlan,
    RivalSelector,
    better_figures,
    level_counts,
    plan_global,
    plan_per_class,
)

Images = Sequence[tuple[LabelMap, LabelMap]]

LABEL = np.array([[0, 0, 0, 1], [1, 1, 0, 0]], dtype=np.uint8)
CONFIDENCE = np.array([[250, 90, 80, 70], [60, 50, 40, 30]], dtype=np.uint8)


def available(images: Images) -> Counts:
    total = np.zeros((2, 256), dtype=np.int64)
    for label, confidence in images:
        total += level_counts(label, confidence, 2)
    return total


def selected(plan: RivalPlan, images: Images, seed: int = 0) -> list[LabelMap]:
    selector = RivalSelector(plan, seed)
    return [selector.select(label, confidence) for label, confidence in images]


def test_level_counts():
    counts = level_counts(LABEL, CONFIDENCE, 2)
    assert counts.shape == (2, 256)
    assert counts[0, 250] == counts[1, 70] == 1
    np.testing.assert_array_equal(counts.sum(axis=1), [5, 3])


def test_global_rival_keeps_the_most_confident_pixels():
    images = [(LABEL, CONFIDENCE)]
    (kept,) = selected(plan_global(available(images), 4), images)
    np.testing.assert_array_equal(kept, [[0, 0, 0, 1], [255, 255, 255, 255]])


def test_class_rival_keeps_the_same_share_of_every_class():
    images = [(LABEL, CONFIDENCE)]
    # 4 of 8: 2.5 of the five and 1.5 of the three pixels; the tie goes to the first class.
    (kept,) = selected(plan_per_class(available(images), 4), images)
    np.testing.assert_array_equal(kept, [[0, 0, 0, 1], [255, 255, 255, 255]])
    (kept,) = selected(plan_per_class(available(images), 5), images)
    np.testing.assert_array_equal(kept, [[0, 0, 0, 1], [1, 255, 255, 255]])


def test_a_threshold_counts_over_the_whole_set():
    images = [(LABEL, CONFIDENCE), (LABEL, CONFIDENCE // 2)]
    first, second = selected(plan_global(available(images), 5), images)
    np.testing.assert_array_equal(first, [[0, 0, 0, 1], [255, 255, 255, 255]])
    np.testing.assert_array_equal(second, [[0, 255, 255, 255], [255, 255, 255, 255]])


def test_ties_are_shared_between_images_in_proportion():
    tied = (np.zeros((10, 10), np.uint8), np.full((10, 10), 255, np.uint8))
    images = [tied, tied, (tied[0], np.full((10, 10), 7, np.uint8))]
    kept = selected(plan_global(available(images), 50), images)
    assert [int((k != 255).sum()) for k in kept] == [25, 25, 0]


def test_cannot_keep_more_than_there_is():
    with pytest.raises(ValueError, match="cannot keep 9 of 8"):
        plan_per_class(level_counts(LABEL, CONFIDENCE, 2), 9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**16), share=st.floats(0, 1), per_class=st.booleans())
def test_keeps_exactly_as_many_and_only_the_most_confident(seed, share, per_class):
    rng = np.random.default_rng(seed)
    images = [
        (rng.integers(0, 2, (3, 4), dtype=np.uint8), rng.integers(0, 6, (3, 4), dtype=np.uint8))
        for _ in range(4)
    ]
    counts = available(images)
    keep = round(share * counts.sum())
    plan = (plan_per_class if per_class else plan_global)(counts, keep)
    maps = selected(plan, images, seed)
    assert sum(int((k != 255).sum()) for k in maps) == keep
    label = np.stack([label for label, _ in images])
    confidence = np.stack([confidence for _, confidence in images])
    kept = np.stack(maps) != 255
    assert (np.stack(maps)[kept] == label[kept]).all()
    groups = [label == 0, label == 1] if per_class else [label >= 0]
    for group in groups:
        inside, outside = confidence[group & kept], confidence[group & ~kept]
        assert not inside.size or not outside.size or inside.min() >= outside.max()


def test_better_figures_picks_figure_by_figure():
    first = {"miou_full": 0.4, "ece": 0.1, "auroc": None, "miou_kept": None}
    second = {"miou_full": 0.5, "ece": 0.2, "auroc": 0.7, "miou_kept": None}
    assert better_figures(first, second) == {
        "miou_full": 0.5,
        "ece": 0.1,
        "auroc": 0.7,
        "miou_kept": None,
    }
