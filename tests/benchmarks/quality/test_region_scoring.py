"""Figures of regions, from documents written down by hand."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.folders import ClassList, LabelledFolder
from benchmarks.quality.labelling import LabelFolder
from benchmarks.quality.region_scoring import (
    judged_regions,
    pooled_auroc,
    region_row,
    true_classes,
    truth_counts,
)
from models.rle import Rle
from tests.benchmarks.quality.tiny_data import write_classes

# Four regions of two pixels, a column each; 3 is not annotated.
TRUTH = [[0, 1, 0, 3, 1], [0, 1, 1, 3, 1]]


def entry(
    column: int,
    before: int,
    after: int | None,
    decision: str,
    posterior: float | None,
    confidence: float,
) -> dict[str, Any]:
    mask = np.zeros((2, 5), bool)
    mask[:, column] = True
    return {
        "segmentation": Rle.encode(mask).to_coco(),
        "class_before": before,
        "class_after": after,
        "decision": decision,
        "posterior": posterior,
        "confidence": confidence,
    }


def folder_of(tmp_path: Path, entries: list[dict[str, Any]], decided_by: str | None) -> LabelFolder:
    folder = LabelFolder(tmp_path / "out")
    label = np.zeros((2, 5), np.uint8)
    document = {"decided_by": decided_by, "reason": decided_by and "why", "regions": entries}
    folder.write("im", label, label, document)
    return folder


@pytest.fixture
def truth(tmp_path):
    write_classes(tmp_path / "classes.json")
    (tmp_path / "truth").mkdir()
    Image.new("RGB", (5, 2)).save(tmp_path / "im.png")
    cv2.imwrite(str(tmp_path / "truth" / "im.png"), np.array(TRUTH, np.uint8))
    classes = ClassList.read(tmp_path / "classes.json")
    return LabelledFolder((tmp_path / "im.png",), tmp_path / "truth", classes)


CORRECTED = [
    entry(0, 0, 0, "kept", 0.1, 0.9),  # right
    entry(1, 2, 1, "relabelled", 0.8, 0.95),  # wrong before, right after
    entry(2, 1, None, "rejected", 0.7, 0.6),  # half right; of equal classes the lower: wrong
    entry(3, 1, 1, "kept", 0.2, 0.7),  # not annotated
    entry(4, 0, 0, "kept", 0.3, 0.5),  # wrong
]


def test_regions_beside_the_truth(truth, tmp_path):
    found = judged_regions(truth, folder_of(tmp_path, CORRECTED, "job"))
    assert (found.unjudged, found.decided_by, found.reason) == (1, "job", "why")
    assert found.is_wrong.tolist() == [False, True, True, True]
    assert found.is_wrong_after.tolist() == [False, False, True, True]
    assert found.annotated_px.tolist() == [2, 2, 2, 2]
    assert found.right_px.tolist() == [2, 0, 1, 0]
    assert found.right_after_px.tolist() == [2, 2, 1, 0]


def test_figures_of_a_corrected_label(truth, tmp_path):
    row = region_row(judged_regions(truth, folder_of(tmp_path, CORRECTED, "job")), seed=0)
    assert (row["regions"], row["wrong"], row["accuracy_px"]) == (4, 0.75, 3 / 8)
    assert row["kept"]["share"] == 0.5
    assert row["kept"]["accuracy_after"] == 0.5
    assert row["relabelled"]["accuracy_before"] == 0.0
    assert row["relabelled"]["accuracy_after_px"] == 1.0
    assert row["rejected"] == {
        "share": 0.25,
        "share_px": 0.25,
        "accuracy_before": 0.0,
        "accuracy_before_px": 0.5,
        "accuracy_after": 0.0,
        "accuracy_after_px": 0.5,
    }
    assert row["low_posterior"]["wrong"] == 0.5
    assert row["high_posterior"] == {"share": 0.5, "share_px": 0.5, "wrong": 1.0, "wrong_px": 0.75}
    # Of the right one (0.1 and 0.9) and the wrong ones (0.8, 0.7, 0.3 and 0.95, 0.6, 0.5).
    assert row["auroc"]["posterior"]["value"] == 1.0
    assert row["auroc"]["confidence"]["value"] == pytest.approx(2 / 3)
    assert row["auroc"]["gain"] == {
        "value": pytest.approx(1 / 3),
        "interval": [pytest.approx(1 / 3), pytest.approx(1 / 3)],
    }
    # Six of eight pixels are written, four of them right. The most confident regions of as many
    # pixels are the second, the first and the third.
    assert row["equal_area"] == {
        "share": 0.75,
        "corrected": 4 / 6,
        "most_confident": 3 / 6,
        "any": 3 / 8,
    }


def test_without_a_correction_only_the_confidence_is_judged(truth, tmp_path):
    entries = [entry(c, c % 2, c % 2, "kept", None, 0.5) for c in range(5)]
    row = region_row(judged_regions(truth, folder_of(tmp_path, entries, None)), seed=0)
    assert list(row) == ["regions", "unjudged", "wrong", "accuracy_px", "auroc"]
    assert row["auroc"]["confidence"]["value"] == 0.5


def test_an_image_without_regions_counts_none(truth, tmp_path):
    row = region_row(judged_regions(truth, folder_of(tmp_path, [], "none")), seed=0)
    assert (row["regions"], row["wrong"], row["kept"]["share"]) == (0, None, None)
    assert row["auroc"]["posterior"] == {"value": None, "interval": [None, None]}


def test_half_of_a_region_must_be_annotated():
    truth = np.array([[0, 255, 1, 255, 255, 255]], np.uint8)
    pixels = [np.array([0, 1]), np.array([2, 3, 4]), np.array([5])]
    true, is_judged = true_classes(truth_counts(pixels, truth))
    assert true[:2].tolist() == [0, 1]
    assert is_judged.tolist() == [True, False, False]


def test_auroc_pools_the_regions_of_all_images():
    doubt = np.array([0.9, 0.1, 0.5, 0.5])
    is_wrong = np.array([True, False, True, False])
    row = pooled_auroc(doubt, is_wrong, np.array([0, 0, 1, 1]), 2, seed=0)
    # Pairs: 0.9 over 0.1 and 0.5, 0.5 over 0.1, 0.5 as 0.5.
    assert row["value"] == pytest.approx(3.5 / 4)
    assert row["interval"] == [0.5, 1.0]
