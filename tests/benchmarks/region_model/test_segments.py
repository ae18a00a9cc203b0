from collections import deque
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.region_model.segments import segments_of

SHAPE = (5, 6)


def test_components_touch_at_corners_and_an_instance_may_lie_in_pieces():
    label = np.array(
        [
            [0, 1, 1, 255],
            [1, 0, 1, 2],
            [2, 2, 0, 2],
        ],
        np.uint8,
    )
    instances = np.array([[0, 0, 0, 0], [0, 0, 0, 9], [9, 9, 0, 9]])
    found = segments_of(label, instances)
    assert found.dtype == np.int32
    assert found[0, 3] == 0
    parts = [label == 0, label == 1, label == 2]
    numbers = [set(found[part]) for part in parts]
    assert [len(n) for n in numbers] == [1, 1, 1]
    assert set.union(*numbers) == {1, 2, 3}


def test_two_instances_of_one_class_are_two_segments():
    label = np.full((1, 4), 7, np.uint8)
    assert len(np.unique(segments_of(label, np.array([[3, 3, 200, 200]])))) == 2
    assert len(np.unique(segments_of(label))) == 1


def test_ignored_pixels_of_an_instance_belong_to_nothing():
    label = np.array([[1, 255]], np.uint8)
    np.testing.assert_array_equal(segments_of(label, np.array([[4, 4]])), [[1, 0]])


def test_label_without_annotation_has_no_segments():
    label = np.full((3, 3), 255, np.uint8)
    assert not segments_of(label).any()
    assert not segments_of(label, np.zeros((3, 3), int)).any()


@settings(deadline=None)
@given(
    arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 255])),
    arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 0, 5, 70000])),
)
def test_same_partition_as_flooding(label, instances):
    for known in (None, instances):
        found = segments_of(label, known)
        expected = flooded(label, np.zeros_like(instances) if known is None else known)
        pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert (found == 0).tolist() == (expected == 0).tolist()


def flooded(label: np.ndarray, instances: np.ndarray) -> np.ndarray:
    out = np.zeros(label.shape, int)
    count = 0
    for start in product(*map(range, label.shape)):
        if out[start] or label[start] == 255:
            continue
        count += 1
        if instances[start]:
            out[(instances == instances[start]) & (label != 255)] = count
            continue
        out[start] = count
        queue = deque([start])
        while queue:
            y, x = queue.popleft()
            for dy, dx in product((-1, 0, 1), repeat=2):
                place = y + dy, x + dx
                inside = 0 <= place[0] < label.shape[0] and 0 <= place[1] < label.shape[1]
                if not inside or out[place] or instances[place] or label[place] != label[start]:
                    continue
                out[place] = count
                queue.append(place)
    return out
