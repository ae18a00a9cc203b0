import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.metrics.confusion import (
    Counts,
    LabelMap,
    confusion_matrix,
    iou_full,
    iou_kept,
    mean_over_present,
)

TRUTH = np.array(
    [
        [0, 0, 1, 1],
        [0, 0, 1, 255],
        [2, 2, 1, 255],
    ],
    dtype=np.uint8,
)
LABEL = np.array(
    [
        [0, 1, 1, 255],
        [0, 255, 1, 0],
        [255, 255, 0, 255],
    ],
    dtype=np.uint8,
)
MATRIX = np.array([[2, 1, 0, 1], [1, 2, 0, 1], [0, 0, 0, 2]])

maps = arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255]))


def brute_force(label: LabelMap, truth: LabelMap, num_classes: int) -> Counts:
    matrix = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    for g, y in zip(truth.ravel().tolist(), label.ravel().tolist(), strict=True):
        if g != 255:
            matrix[g, num_classes if y == 255 else y] += 1
    return matrix


def brute_force_iou(
    label: LabelMap, truth: LabelMap, class_id: int, dropped_are_misses: bool
) -> float:
    counted = truth != 255
    if not dropped_are_misses:
        counted &= label != 255
    union = counted & ((truth == class_id) | (label == class_id))
    hit = counted & (truth == class_id) & (label == class_id)
    return float(hit.sum() / union.sum()) if union.any() else float("nan")


def test_counts_by_true_and_labelled_class_with_a_dropped_column():
    np.testing.assert_array_equal(confusion_matrix(LABEL, TRUTH, 3), MATRIX)


def test_iou_kept_ignores_dropped_pixels_and_iou_full_counts_them_as_misses():
    np.testing.assert_allclose(iou_kept(MATRIX), [2 / 4, 2 / 4, np.nan])
    np.testing.assert_allclose(iou_full(MATRIX), [2 / 5, 2 / 5, 0 / 2])


def test_mean_is_over_classes_of_the_truth():
    # Class 2 is never true: its IoU of 0 (three false pixels) does not enter the mean.
    matrix = np.array([[4, 0, 1, 0], [0, 3, 2, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(iou_full(matrix), [4 / 5, 3 / 5, 0.0])
    assert mean_over_present(iou_full(matrix), matrix) == pytest.approx(0.7)


def test_mean_leaves_out_an_undefined_class():
    assert mean_over_present(iou_kept(MATRIX), MATRIX) == pytest.approx(0.5)
    assert mean_over_present(iou_full(MATRIX), MATRIX) == pytest.approx(0.8 / 3)


def test_nothing_annotated_is_undefined_and_never_0():
    empty = confusion_matrix(LABEL, np.full_like(TRUTH, 255), 3)
    assert empty.sum() == 0
    assert np.isnan(iou_kept(empty)).all()
    assert np.isnan(iou_full(empty)).all()
    assert np.isnan(mean_over_present(iou_full(empty), empty))


def test_highest_class_count():
    truth = np.array([[254, 254]], dtype=np.uint8)
    label = np.array([[254, 255]], dtype=np.uint8)
    matrix = confusion_matrix(label, truth, 255)
    assert matrix.shape == (255, 256)
    assert matrix[254, 254] == 1
    assert matrix[254, 255] == 1


@pytest.mark.parametrize(
    ("label", "truth", "message"),
    [
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), "shape"),
        (np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8), "label holds 3"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 7, np.uint8), "truth holds 7"),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8), "label must be"),
    ],
)
def test_refuses_maps_that_do_not_fit(label, truth, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(label, truth, 3)


@given(label=maps, truth=maps)
def test_agrees_with_brute_force(label, truth):
    matrix = confusion_matrix(label, truth, 3)
    np.testing.assert_array_equal(matrix, brute_force(label, truth, 3))
    for class_id in range(3):
        np.testing.assert_allclose(
            iou_kept(matrix)[class_id], brute_force_iou(label, truth, class_id, False)
        )
        np.testing.assert_allclose(
            iou_full(matrix)[class_id], brute_force_iou(label, truth, class_id, True)
        )


@given(label=maps, truth=maps)
def test_iou_full_is_never_above_iou_kept(label, truth):
    matrix = confusion_matrix(label, truth, 3)
    kept, full = iou_kept(matrix), iou_full(matrix)
    defined = ~np.isnan(kept)
    assert (full[defined] <= kept[defined]).all()
    mean_kept, mean_full = mean_over_present(kept, matrix), mean_over_present(full, matrix)
    assert np.isnan(mean_kept) or mean_full <= mean_kept


@given(first=maps, second=maps, truth=maps)
def test_matrices_add_up(first, second, truth):
    whole = confusion_matrix(np.vstack([first, second]), np.vstack([truth, truth]), 3)
    parts = confusion_matrix(first, truth, 3) + confusion_matrix(second, truth, 3)
    np.testing.assert_array_equal(whole, parts)
