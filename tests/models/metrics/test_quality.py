import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.confusion import LabelMap
from models.metrics.quality import QualityAccumulator

Image = tuple[LabelMap, LabelMap | None, LabelMap]

CLASSES = ("road", "sky")
TRUTH = np.array([[0, 0, 1], [0, 255, 1]], dtype=np.uint8)
LABEL = np.array([[0, 1, 1], [255, 0, 1]], dtype=np.uint8)
CONFIDENCE = np.array([[255, 51, 204], [0, 102, 255]], dtype=np.uint8)


def filled(*images: Image) -> QualityAccumulator:
    accumulator = QualityAccumulator(CLASSES)
    for label, confidence, truth in images:
        accumulator.accumulate(label, confidence, truth)
    return accumulator


def test_summary_of_one_image():
    summary = filled((LABEL, CONFIDENCE, TRUTH)).summary()
    assert summary["images"] == 1
    assert summary["pixels"] == 5
    assert summary["coverage"] == pytest.approx(4 / 5)
    assert summary["accuracy_kept"] == pytest.approx(3 / 4)
    assert summary["miou_kept"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert summary["miou_full"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert summary["iou"] == {"road": pytest.approx(1 / 3), "sky": pytest.approx(2 / 3)}
    assert summary["auroc"] == 1.0
    # The wrong pixel at 0.2, and right ones at 1.0 (no gap) and 0.8.
    assert summary["ece"] == pytest.approx((0.2 + 0.2) / 4)
    # All pixels lie in the bands. Road: one of {0,0}, {0,1}, {1,0}; sky: both, and {0,1}.
    assert summary["boundary_iou"] == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_undefined_figures_are_null_in_json():
    nothing = filled((np.full_like(LABEL, 255), np.zeros_like(CONFIDENCE), TRUTH))
    summary = json.loads(json.dumps(nothing.summary(), allow_nan=False))
    assert summary["coverage"] == 0.0
    assert summary["miou_full"] == 0.0
    for name in ("miou_kept", "accuracy_kept", "auroc", "ece"):
        assert summary[name] is None


def test_labels_without_confidence_have_no_reliability():
    summary = filled((LABEL, None, TRUTH)).summary()
    assert summary["miou_full"] == pytest.approx(0.5)
    assert summary["auroc"] is None
    assert summary["ece"] is None


def test_an_image_that_does_not_fit_counts_nothing():
    accumulator = QualityAccumulator(CLASSES)
    with pytest.raises(ValueError, match="differ"):
        accumulator.accumulate(LABEL, CONFIDENCE[:1], TRUTH)
    with pytest.raises(ValueError, match="label holds 2"):
        accumulator.accumulate(np.full_like(LABEL, 2), CONFIDENCE, TRUTH)
    assert accumulator.to_dict() == QualityAccumulator(CLASSES).to_dict()


def test_refuses_other_classes_and_other_formats():
    with pytest.raises(ValueError, match="different classes"):
        filled().merge(QualityAccumulator(("road", "car")))
    document = filled().to_dict()
    with pytest.raises(ValueError, match="format version 9"):
        QualityAccumulator.from_dict({**document, "format_version": 9})
    with pytest.raises(ValueError, match="shape"):
        QualityAccumulator.from_dict({**document, "classes": ["road"]})


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_chunks_merge_in_any_order_through_json(seed, order, cut):
    rng = np.random.default_rng(seed)
    images = [
        (
            rng.choice(np.array([0, 1, 255], np.uint8), (4, 5)),
            rng.integers(0, 256, (4, 5), dtype=np.uint8),
            rng.choice(np.array([0, 1, 255], np.uint8), (4, 5)),
        )
        for _ in range(4)
    ]
    merged = QualityAccumulator(CLASSES)
    for chunk in (order[:cut], order[cut:]):
        text = json.dumps(filled(*(images[i] for i in chunk)).to_dict())
        merged.merge(QualityAccumulator.from_dict(json.loads(text)))
    assert merged.to_dict() == filled(*images).to_dict()
    assert merged.summary() == filled(*images).summary()


def test_needs_no_torch():
    code = "import sys, models.metrics.quality; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
