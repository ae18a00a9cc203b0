import numpy as np
import pytest

from models.metrics.selective import (
    accuracy_kept,
    coverage,
    coverage_per_class,
    precision_per_class,
    recall_per_class,
)

#                  labelled 0, 1, dropped
MATRIX = np.array([[6, 2, 2], [1, 3, 6]])
NOTHING_KEPT = np.array([[0, 0, 5], [0, 0, 3]])


def test_shares_of_the_set():
    assert coverage(MATRIX) == pytest.approx(12 / 20)
    assert accuracy_kept(MATRIX) == pytest.approx(9 / 12)


def test_shares_per_class():
    np.testing.assert_allclose(coverage_per_class(MATRIX), [8 / 10, 4 / 10])
    np.testing.assert_allclose(precision_per_class(MATRIX), [6 / 7, 3 / 5])
    np.testing.assert_allclose(recall_per_class(MATRIX), [6 / 8, 3 / 4])


def test_nothing_kept_has_no_accuracy():
    assert coverage(NOTHING_KEPT) == 0.0
    assert np.isnan(accuracy_kept(NOTHING_KEPT))
    assert np.isnan(precision_per_class(NOTHING_KEPT)).all()
    assert np.isnan(recall_per_class(NOTHING_KEPT)).all()


def test_nothing_annotated_has_no_coverage():
    assert np.isnan(coverage(np.zeros((2, 3), dtype=np.int64)))
