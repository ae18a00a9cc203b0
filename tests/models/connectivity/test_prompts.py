from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.connectivity.components import components_of
from models.connectivity.prompts import component_prompts
from models.connectivity.purity import purity_map
from models.connectivity.variants import VARIANT_SETTINGS

SELVAGE, PAPER, PUBLIC_CODE = (VARIANT_SETTINGS[n] for n in ("selvage", "paper", "public-code"))


def asked_for(*arguments: Any) -> Any:
    asked = component_prompts(*arguments)
    assert asked.prompts.boxes_xyxy is not None
    assert asked.prompts.points_xy is not None
    assert asked.prompts.point_labels is not None
    return asked


def label_of(*rows: Any) -> Any:
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


BAR = label_of(
    ".............",
    ".11111111111.",
    ".............",
    ".222222.2222.",
    ".222222.2222.",
)


def test_one_question_for_each_large_component_of_each_class_asked_for():
    asked = asked_for(BAR, 3, [1, 2], PAPER)
    # The right part of class 2 has 8 pixels, fewer than 10.
    assert asked.table.classes.tolist() == [1, 2]
    assert asked.table.areas_px.tolist() == [11, 12]
    assert asked.table.boxes_xyxy.tolist() == [[1, 1, 12, 2], [1, 3, 7, 5]]
    assert asked.prompts.points_xy.tolist() == [[[6, 1]], [[3, 3]]]
    assert asked.prompts.point_labels.tolist() == [[1], [1]]
    assert len(asked.prompts) == len(asked) == 2
    assert component_prompts(BAR, 3, [2], PAPER).table.classes.tolist() == [2]
    assert len(component_prompts(BAR, 3, [0], PAPER)) == 0
    assert len(component_prompts(BAR, 3, [], PAPER)) == 0


def test_a_class_needs_eleven_pixels_and_a_component_ten():
    ten = np.full((3, 12), 255, np.uint8)
    ten[1, :10] = 0
    assert len(component_prompts(ten, 1, [0], SELVAGE)) == 0
    ten[1, 11] = 0  # the class has enough now, the component of one pixel not
    assert component_prompts(ten, 1, [0], SELVAGE).table.areas_px.tolist() == [10]


def test_of_too_many_components_the_largest_are_asked_for():
    label = np.full((7, 20), 255, np.uint8)
    label[0, :11] = 0
    label[2, :14] = 1
    label[4, :12] = 0
    label[6, :12] = 1
    few = replace(SELVAGE, most_prompts=2)
    asked = asked_for(label, 2, [0, 1], few)
    assert asked.table.boxes_xyxy.tolist() == [[0, 4, 12, 5], [0, 2, 14, 3]]


def test_the_centre_of_a_bent_component_lies_inside():
    bent = label_of("1111111", "1......", "1......", "1......", "1......", "1111111")
    ((point,),) = asked_for(bent, 2, [1], PAPER).prompts.points_xy
    x, y = point.astype(int)
    assert bent[y, x] == 1


def test_of_equally_pure_pixels_the_public_code_takes_the_first_and_we_the_middle():
    label = np.full((60, 60), 1, np.uint8)
    first = asked_for(label, 2, [1], PUBLIC_CODE).prompts.points_xy
    middle = asked_for(label, 2, [1], SELVAGE).prompts.points_xy
    assert first.tolist() == [[[0, 0], [0, 30]]]
    assert middle.tolist() == [[[29, 14], [29, 44]]]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([PUBLIC_CODE, SELVAGE]), st.integers(1, 5))
def test_points_are_as_many_as_asked_for_inside_and_the_purest_of_their_part(seed, base, points):
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 1, 2, 255], (5, 6), p=[0.3, 0.3, 0.2, 0.2]).astype(np.uint8)
    label = np.kron(coarse, np.ones((4, 3), np.uint8))
    label[rng.random(label.shape) < 0.1] = 1
    before = label.copy()
    chosen = replace(base, points=points)
    asked = asked_for(label, 3, [1, 2], chosen)
    assert (label == before).all()
    purity = purity_map(label, 3)
    components, _ = components_of(label)
    large = [
        c for c in np.unique(components[np.isin(label, [1, 2])]) if (components == c).sum() > 9
    ]
    assert len(asked) == len([c for c in large if (label == label[components == c][0]).sum() > 10])
    for class_id, box, prompted in zip(
        asked.table.classes, asked.prompts.boxes_xyxy, asked.prompts.points_xy, strict=True
    ):
        xs, ys = prompted.astype(int).T
        assert len(prompted) == points
        assert (label[ys, xs] == class_id).all()
        own = components == components[ys[0], xs[0]]
        rows, columns = np.nonzero(own)
        ends = [len(rows) * i // points for i in range(points + 1)]
        for i in range(points):
            part = slice(ends[i], ends[i + 1])
            values = purity[rows[part], columns[part]]
            place = list(zip(columns[part], rows[part], strict=True)).index((xs[i], ys[i]))
            assert values[place] == values.min()
            if base is PUBLIC_CODE:
                assert place == values.argmin()
        tight = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        assert (box[:2] <= tight[:2]).all()
        assert (box[2:] >= tight[2:]).all()
        assert (box >= 0).all()
        assert (box[2:] <= [label.shape[1] - 1, label.shape[0] - 1]).all()


@pytest.mark.parametrize("settings_of", [SELVAGE, PAPER, PUBLIC_CODE])
def test_fifty_thousand_components_of_one_pixel_ask_nothing(settings_of):
    label = np.full((500, 400), 255, np.uint8)
    label[::2, ::2] = 3
    assert len(component_prompts(label, 4, [3], settings_of)) == 0


@pytest.mark.parametrize("settings_of", [SELVAGE, PAPER, PUBLIC_CODE])
def test_lines_have_boxes(settings_of):
    label = np.full((30, 30), 255, np.uint8)
    label[:, 4] = 0
    np.fill_diagonal(label[:, 10:], 1)
    asked = asked_for(label, 2, [0, 1], settings_of)
    assert len(asked) == 2
    assert np.isfinite(asked.prompts.boxes_xyxy).all()
