import numpy as np
import pytest

from models.metrics.reliability import over_classes, reliability_counts

TRUTH = np.array([[0, 0, 1], [1, 255, 0]], dtype=np.uint8)
LABEL = np.array([[0, 1, 1], [255, 1, 0]], dtype=np.uint8)
CONFIDENCE = np.array([[200, 90, 200], [0, 17, 200]], dtype=np.uint8)


def test_counts_kept_annotated_pixels_by_labelled_class_and_rightness():
    counts = reliability_counts(LABEL, CONFIDENCE, TRUTH, 2)
    assert counts.shape == (2, 2, 256)
    assert counts[0, 1, 200] == 2
    assert counts[1, 1, 200] == 1
    assert counts[1, 0, 90] == 1
    assert counts.sum() == 4
    np.testing.assert_array_equal(over_classes(counts).sum(axis=1), [1, 3])


def test_refuses_confidence_of_another_type_or_shape():
    with pytest.raises(ValueError, match="uint8"):
        reliability_counts(LABEL, CONFIDENCE.astype(np.int64), TRUTH, 2)
    with pytest.raises(ValueError, match="differ"):
        reliability_counts(LABEL, CONFIDENCE[:1], TRUTH, 2)
