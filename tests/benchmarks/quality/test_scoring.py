from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.quality.folders import ClassList, LabelledFolder
from benchmarks.quality.labelling import LabelFolder, LabelRun
from benchmarks.quality.report import score_runs
from benchmarks.quality.scoring import (
    count_images,
    filled_row,
    gains,
    model_row,
    reliability_row,
    rival_parts,
    rival_row,
    stage_row,
)
from models.metrics.quality import FIGURES
from tests.benchmarks.quality.tiny_data import write_classes

# Two images of one row; class 0 is right but for one unsure pixel, class 1 half right.
Maps = list[list[list[int]]]

TRUTH: Maps = [[[0, 0, 0, 1]], [[1, 1, 3, 0]]]
PREDICTED = [[[0, 0, 1, 1]], [[1, 1, 0, 0]]]
CONFIDENCE = [[[250, 200, 60, 150]], [[240, 180, 90, 100]]]
SELECTED = [[[0, 255, 255, 1]], [[1, 1, 255, 255]]]


@pytest.fixture
def truth(tmp_path):
    write_classes(tmp_path / "classes.json")
    (tmp_path / "truth").mkdir()
    images = []
    for index, rows in enumerate(TRUTH):
        images.append(tmp_path / f"im{index}.png")
        Image.new("RGB", (4, 1)).save(images[-1])
        cv2.imwrite(str(tmp_path / "truth" / f"im{index}.png"), np.array(rows, np.uint8))
    return LabelledFolder(
        tuple(images), tmp_path / "truth", ClassList.read(tmp_path / "classes.json")
    )


def label_folder(path: Path, labels: Maps, confidences: Maps) -> LabelFolder:
    folder = LabelFolder(path)
    for index, (label, confidence) in enumerate(zip(labels, confidences, strict=True)):
        kept = np.array(label, np.uint8)
        known = np.where(kept == 255, 0, np.array(confidence, np.uint8)).astype(np.uint8)
        folder.write(f"im{index}", kept, known)
    return folder


@pytest.fixture
def predicted(tmp_path):
    return label_folder(tmp_path / "predict", PREDICTED, CONFIDENCE)


@pytest.fixture
def selected(tmp_path):
    return label_folder(tmp_path / "select", SELECTED, CONFIDENCE)


def test_stage_row_has_all_figures_with_intervals(truth, predicted, selected):
    row = stage_row(truth, selected, predicted, seed=0)
    # Seven annotated pixels, four kept, all right.
    assert row["coverage"] == pytest.approx(4 / 7)
    assert row["accuracy_kept"] == 1.0
    assert row["miou_kept"] == 1.0
    assert row["miou_full"] == pytest.approx((1 / 4 + 3 / 3) / 2)
    assert row["auroc"] is None
    assert set(row["intervals"]) == set(FIGURES)
    assert row["intervals"]["coverage"] == [pytest.approx(2 / 4), pytest.approx(2 / 3)]


def test_rival_keeps_as_many_pixels_as_the_stage(truth, predicted, selected):
    rival = rival_row(rival_parts(truth, selected, predicted, seed=0))
    # The four surest are 250, 240, 200, 180: two of each class, all right.
    assert rival["global"]["coverage"] == pytest.approx(4 / 7)
    assert rival["global"]["miou_full"] == pytest.approx((2 / 4 + 2 / 3) / 2)
    # Both classes are predicted four times, so half of each is kept: the same pixels.
    assert rival["per_class"] == rival["global"]
    assert rival["miou_full"] == rival["global"]["miou_full"]


def test_rival_of_a_full_label_is_the_label(truth, predicted):
    row = stage_row(truth, predicted, predicted, seed=0)
    assert row["coverage"] == 1.0
    for figure in FIGURES:
        assert row["rival"][figure] == row[figure]


def test_gain_is_over_the_better_rival(truth, predicted, selected):
    row = stage_row(truth, selected, predicted, seed=0)
    for name, found in row["gain"].items():
        assert found["value"] == pytest.approx(row[name] - row["rival"][name])
        low, high = found["interval"]
        assert low <= found["value"] <= high


def test_gain_takes_the_better_of_several_figure_by_figure(truth, predicted, selected):
    others = {"all": count_images(truth, predicted), "few": count_images(truth, selected)}
    found = gains(others["few"], others, seed=0)
    assert found["accuracy_kept"]["value"] == 0.0
    # With dropped pixels as misses (1/4 + 3/3) / 2 for the few, (3/4 + 3/4) / 2 for all.
    assert found["miou_full"]["value"] == pytest.approx(0.625 - 0.75)


def test_holes_are_filled_by_argmax(truth, predicted, selected, tmp_path):
    row = filled_row(truth, selected, predicted, seed=0)
    assert row["coverage"] == 1.0
    assert row["miou_full"] == pytest.approx(0.75)
    assert "rival" not in row
    assert row["gain"]["miou_full"] == {"value": 0.0, "interval": [0.0, 0.0]}
    better = label_folder(tmp_path / "better", [[[0, 255, 0, 1]], [[255, 1, 255, 0]]], CONFIDENCE)
    row = filled_row(truth, better, predicted, seed=0)
    assert row["gain"]["accuracy_kept"]["value"] == pytest.approx(1 - 6 / 7)


def test_model_row_names_the_classes(truth, predicted):
    row = model_row(truth, predicted, seed=0)
    assert row["iou"] == {"sky": pytest.approx(3 / 4), "grass": pytest.approx(3 / 4), "wall": None}
    assert row["miou"] == pytest.approx(3 / 4)
    assert row["images"] == 2


def test_reliability_row(truth, predicted):
    row = reliability_row(truth, predicted, seed=0)
    # The one wrong pixel (60) is the least sure of all.
    assert row["auroc"] == 1.0
    assert row["aupr_error"] == 1.0
    assert row["excess_aurc"] == pytest.approx(0.0, abs=1e-12)
    assert 0 < row["ece"] < 1


def test_a_stage_that_looked_at_regions_has_a_filled_row_beside_it(truth, predicted, tmp_path):
    stage = label_folder(tmp_path / "psa", SELECTED, CONFIDENCE)
    document: dict[str, Any] = {"decided_by": None, "reason": None, "regions": []}
    for index in range(2):
        stage.write(f"im{index}", *stage.read(f"im{index}"), document)
    runs = [
        LabelRun("source_bn", "target", "predict", predicted),
        LabelRun("source_bn", "target", "psa_nano", stage, "nano"),
    ]
    scored = score_runs(runs, {"target": truth}, seed=0)["labels"]
    assert list(scored) == [
        *("source_bn_predict", "source_bn_psa_nano", "source_bn_psa_nano_filled")
    ]
    assert scored["source_bn_psa_nano"]["regions"]["regions"] == 0


def test_rows_of_the_adapted_model_bear_its_name(truth, predicted, selected):
    runs = [
        LabelRun(model, "target", stage, folder)
        for model in ("source", "source_bn")
        for stage, folder in (("predict", predicted), ("select", selected))
    ]
    scored = score_runs(runs, {"target": truth}, seed=0)
    assert list(scored) == ["labels", "reliability", "models"]
    assert list(scored["labels"]) == ["predict", "select", "source_bn_predict", "source_bn_select"]
    assert list(scored["reliability"]) == ["max_softmax", "source_bn_max_softmax"]
    assert list(scored["models"]) == ["source", "source_bn"]
    assert list(scored["models"]["source"]) == ["target"]
