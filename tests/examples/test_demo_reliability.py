import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from examples.demo_reliability import diagram, reliability


def test_points_are_mean_confidence_and_share_right():
    label = np.array([[0, 0, 0, 0, 255]], np.uint8)
    truth = np.array([[0, 1, 0, 0, 0]], np.uint8)
    confidence = np.array([[51, 51, 204, 204, 0]], np.uint8)
    found = reliability([(label, confidence, truth)], 2)
    assert found is not None
    assert found["points"] == [
        (pytest.approx(0.2), pytest.approx(0.5), pytest.approx(0.5)),
        (pytest.approx(0.8), pytest.approx(1.0), pytest.approx(0.5)),
    ]
    assert found["ece"] == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)
    # The wrong one has the confidence of one right one, and less than two.
    assert found["auroc"] == pytest.approx((0.5 + 2) / 3)


def test_nothing_kept_is_no_diagram_and_no_error_is_no_auroc():
    ignored, right = np.full((1, 2), 255, np.uint8), np.zeros((1, 2), np.uint8)
    assert reliability([(ignored, right, right)], 2) is None
    found = reliability([(right, right, right)], 2)
    assert found is not None
    assert found["auroc"] is None


def test_the_diagram_is_well_formed_and_has_a_mark_for_each_point():
    curve = {"points": [(0.1, 0.2, 0.5), (0.9, 0.8, 0.5)]}
    root = ElementTree.fromstring(diagram({"before": curve, "after": curve}))
    marks = [(float(e.get("cx", "")), float(e.get("cy", ""))) for e in root.iter("circle")]
    assert marks == [(24.0, 192.0), (216.0, 48.0)] * 2
    assert {e.text for e in root.iter("text")} >= {"before", "after", "confidence", "right"}
