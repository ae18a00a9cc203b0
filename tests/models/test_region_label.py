"""The confidence of a pixel after regions, from numbers written down by hand."""

import numpy as np
import pytest

from models.connectivity.correction_fit import Decisions
from models.connectivity.evidence import RegionEvidence
from models.connectivity.regions import Regions
from models.connectivity.rules import Decision
from models.region_label import CONFIDENCE, region_certainty
from models.rle import Rle

LABEL = np.array([[0, 0, 1]], np.uint8)


def evidence() -> RegionEvidence:
    """Two regions: pixels 0 and 1 of class 0 by three votes of four, pixel 2 without votes."""
    regions = Regions(
        size_hw=(1, 3),
        rles=[Rle.encode(LABEL == 0), Rle.encode(LABEL == 1)],
        boxes_xyxy=np.array([[0, 0, 2, 1], [2, 0, 3, 1]], np.int32),
        areas_px=np.array([2, 1]),
        classes=np.array([0, 1], np.uint8),
        votes=np.array([[3, 1], [0, 0]], np.float32),
        quality=np.array([0.9, 0.9], np.float32),
        confidence=np.array([0.8, 0.8], np.float32),
    )
    predicted = np.array([[0, 1, 1]], np.uint8)
    return RegionEvidence(
        regions, predicted, np.array([[0.9, 0.8, 0.6]], np.float32), {"predict": predicted}
    )


def scaled(mean_log_odds: float) -> float:
    return float(1 / (1 + np.exp(-(CONFIDENCE.scale * mean_log_odds + CONFIDENCE.shift))))


def test_votes_and_the_pixel_itself_where_it_has_the_class_of_its_region():
    found = region_certainty(evidence(), LABEL, None)
    expected = [
        scaled((np.log(9) + np.log(3)) / 2),  # own 0.9, votes 0.75
        scaled(np.log(3)),  # predicted otherwise: the votes alone
        scaled(np.log(1.5)),  # no votes: the pixel's own 0.6
    ]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_the_correction_is_asked_too():
    decisions = Decisions(
        decisions=np.array([Decision.KEPT, Decision.KEPT], np.uint8),
        classes_after=np.array([0, 1], np.uint8),
        posterior=np.array([0.2, 0.2], np.float32),
        probability=np.array([0.5, 0.8], np.float32),
        decided_by="model",
        reason="",
    )
    found = region_certainty(evidence(), LABEL, decisions)
    expected = [
        scaled((np.log(9) + np.log(3) + 0) / 3),
        scaled(np.log(3) / 2),
        scaled((np.log(1.5) + np.log(4)) / 2),
    ]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_nothing_is_certain_or_impossible():
    """Votes of one class alone count as 99 of 100, so that c never rounds to 0 or 1 by them."""
    sure = evidence()
    sure.regions.votes[0] = [4, 0]
    found = region_certainty(sure, LABEL, None)
    assert found[0, 1] == pytest.approx(scaled(np.log(99)))
