from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.connectivity.components import component_table, components_of

LABELS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 255])
)


def flooded(label: Any, pieces: Any) -> Any:
    """Components by growing from each pixel to its eight neighbours, one at a time."""
    found = np.zeros(label.shape, np.int32)
    count = 0
    for start in zip(*np.nonzero(label != 255), strict=True):
        if found[start]:
            continue
        count += 1
        found[start] = count
        stack = [start]
        while stack:
            y, x = stack.pop()
            for near in np.ndindex(3, 3):
                there = (y + near[0] - 1, x + near[1] - 1)
                if (
                    0 <= there[0] < label.shape[0]
                    and 0 <= there[1] < label.shape[1]
                    and not found[there]
                    and label[there] == label[y, x]
                    and pieces[there] == pieces[y, x]
                ):
                    found[there] = count
                    stack.append(there)
    return found, count


def test_diagonal_neighbours_hang_together_and_255_is_in_none():
    label = np.array(
        [
            [0, 255, 254, 254],
            [255, 0, 255, 255],
            [0, 255, 0, 0],
            [1, 1, 255, 254],
        ],
        np.uint8,
    )
    components, count = components_of(label)
    assert components.dtype == np.int32
    assert components.tolist() == [
        [1, 0, 2, 2],
        [0, 1, 0, 0],
        [1, 0, 1, 1],
        [3, 3, 0, 4],
    ]
    assert count == 4


def test_a_component_has_one_piece_number():
    label = np.array([[0, 0, 0, 255]], np.uint8)
    pieces = np.array([[7, 7, 0, 7]], np.int32)
    components, count = components_of(label, pieces)
    assert components.tolist() == [[1, 1, 2, 0]]
    assert count == 2


@settings(deadline=None)
@given(LABELS, st.integers(0, 2**32 - 1))
def test_components_are_those_of_a_flood_fill(label, seed):
    pieces = np.random.default_rng(seed).integers(0, 3, label.shape).astype(np.int32)
    for given_pieces, same in ((None, np.zeros_like(pieces)), (pieces, pieces)):
        components, count = components_of(label, given_pieces)
        expected, expected_count = flooded(label, same)
        assert count == expected_count
        pairs = set(zip(components.ravel().tolist(), expected.ravel().tolist(), strict=True))
        assert len(pairs) == count + bool((label == 255).any())


@settings(deadline=None)
@given(LABELS)
def test_painting_all_components_with_their_class_gives_the_label_back(label):
    before = label.copy()
    components, count = components_of(label)
    table = component_table(components, count, label)
    painted = np.full_like(label, 255)
    for index, (class_id, area, box) in enumerate(
        zip(table.classes, table.areas_px, table.boxes_xyxy, strict=True)
    ):
        mask = components == index + 1
        rows, columns = np.nonzero(mask)
        assert area == mask.sum()
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        painted[mask] = class_id
    assert (painted == before).all()
    assert (label == before).all()
    assert len(table) == count
    assert 255 not in table.classes


def test_fifty_thousand_components_of_one_pixel():
    label = np.full((500, 400), 255, np.uint8)
    label[::2, ::2] = 3
    components, count = components_of(label)
    table = component_table(components, count, label)
    assert count == 50_000
    assert (table.areas_px == 1).all()
    assert (table.classes == 3).all()
    assert (table.boxes_xyxy[:, 2:] - table.boxes_xyxy[:, :2] == 1).all()


def test_a_label_of_255_has_no_components():
    components, count = components_of(np.full((3, 4), 255, np.uint8))
    table = component_table(components, count, np.full((3, 4), 255, np.uint8))
    assert count == 0
    assert not components.any()
    assert len(table) == 0
    assert table.boxes_xyxy.shape == (0, 4)
