import numpy as np
import pytest

from examples.demo_scoring import ScoredImage, figures_of, stage_table

TRUTH = np.array([[0, 0, 1, 1]] * 4, np.uint8)
# Two pixels of the last column are wrong, and the model is least sure there.
ARGMAX = np.array([[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
MAX_SOFTMAX = np.array([[250, 240, 230, 20], [250, 240, 230, 20]] * 2, np.uint8)
SELECTED = np.array([[0, 0, 1, 0], [0, 255, 1, 0], [0, 255, 1, 1], [0, 255, 1, 1]], np.uint8)


def test_dropped_pixels_are_missed_and_not_wrong():
    figures = figures_of([(SELECTED, TRUTH)], ["road", "car"])
    assert figures["coverage"] == 13 / 16
    assert figures["accuracy_kept"] == 11 / 13
    # road: 5 of 8 found, 2 too many; car: 6 of 8 found
    assert figures["miou_full"] == pytest.approx((5 / 10 + 6 / 8) / 2)


def test_each_stage_has_a_row_with_the_rival_that_keeps_as_much():
    stages = {"predict": ARGMAX, "select": SELECTED, "correct": TRUTH}
    predict, select, correct = stage_table(
        [ScoredImage(stages, MAX_SOFTMAX, MAX_SOFTMAX, TRUTH)], ["road", "car"]
    )
    assert [row["stage"] for row in (predict, select, correct)] == ["predict", "select", "correct"]
    assert predict["accuracy_kept"] == 14 / 16
    assert predict["rival"] is None
    assert correct["accuracy_kept"] == correct["miou_full"] == correct["boundary_iou"] == 1.0
    # of the 13 most confident pixels one is of the doubtful last column
    assert select["rival"]["accuracy_kept"] >= 12 / 13
    assert set(select["rival"]) == {"accuracy_kept", "miou_full", "boundary_iou"}


def test_without_images_there_is_no_table():
    assert stage_table([], []) == []
