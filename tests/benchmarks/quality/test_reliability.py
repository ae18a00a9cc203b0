"""The comparison of reliabilities, small: a model of twenty steps, a few images."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import reliability, reliability_scores
from benchmarks.quality.ablation import VARIANTS
from benchmarks.quality.folders import ClassList, LabelledFolder, list_images
from benchmarks.quality.reliability_scores import miou_at
from benchmarks.training import AugmentationConfig, train_segmenter
from models.bundle import write_bundle
from models.ontology import Ontology
from models.rectification.source_fit import SourceFitSettings
from models.rectification.training import TrainingSettings
from models.segmentation.compact import CompactSegmenter
from tests.benchmarks.quality.tiny_data import CLASSES, write_data, write_folder

MENDED = ("rectified", "rectified_bilinear", "rectified_by_grid")
ESTIMATES = [
    *("max_softmax", "calibrated", "negentropy", "agreement", "divergence", "grid", "field"),
    *MENDED,
]


def _knows_a_little(data: Path) -> CompactSegmenter:
    """A model whose confidence means something, as that of random weights does by luck alone."""
    source = LabelledFolder(
        tuple(list_images(data / "source" / "images")),
        data / "source" / "labels",
        ClassList.read(data / "classes.json"),
    )
    return train_segmenter(
        source,
        len(CLASSES),
        steps=20,
        seed=0,
        crop_hw=(32, 32),
        batch_size=4,
        checkpoint=None,
        augmentation=AugmentationConfig(),
        progress=False,
    )


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name a model and a data set; fits are short."""
    bundle, data = tmp_path / "model", write_data(tmp_path / "data")
    write_bundle(bundle, _knows_a_little(data), Ontology.from_names("tiny", CLASSES), {})
    more = data / "source_val"
    write_folder(tmp_path / "more", tmp_path / "more_labels", 10, seed=5)
    for folder, name in ((tmp_path / "more", "images"), (tmp_path / "more_labels", "labels")):
        for path in folder.iterdir():
            path.rename(more / name / path.name)
    settings = partial(
        SourceFitSettings, styles=3, points=256, training=TrainingSettings(steps=60, points=64)
    )
    monkeypatch.setattr(reliability, "SourceFitSettings", settings)
    return ["--data", str(data), "--bundle", str(bundle)]


def _result(options: list[str], out: Path) -> dict[str, Any]:
    reliability.main([*options, "--json", str(out)])
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_every_estimate_gets_every_figure(prepared, tmp_path):
    result = _result(prepared, tmp_path / "r.json")
    (found,) = result["targets"].values()
    assert found["images"] == 3
    assert list(found["estimators"]) == ESTIMATES
    for name, figures in found["estimators"].items():
        assert 0 <= figures["ece"] <= 1, name
        assert 0 <= figures["auroc"] <= 1, name
        assert 0 <= figures["miou_at_70"] <= 1, name
    assert found["estimators"]["field"]["miou"] == found["estimators"]["grid"]["miou"]
    assert set(result["quality_of_all"]) == set(ESTIMATES) - set(MENDED)
    assert result["quality_of_all"]["field"]["images"] == 3
    assert result["fit"]["images"] == 10
    assert result["settings"]["stride_px"] == 4


def test_variants_are_compared_on_coarser_features_of_several_looks(
    prepared, tmp_path, monkeypatch
):
    names = ("default", "coarse", "per_class", "no_log_odds", "noise_mixture", "with_divergence")
    monkeypatch.setattr(reliability, "VARIANTS", {name: VARIANTS[name] for name in names})
    more = ["--ablation", "--stride", "8", "--scales", "1", "0.5", "--steps", "20"]
    result = _result([*prepared, *more], tmp_path / "r.json")
    (found,) = result["targets"].values()
    menders = [f"rectified_{name}" for name in names if name != "noise_mixture"]
    assert list(found["estimators"]) == ["max_softmax", *names, *menders]
    assert list(result["fit"]) == [name for name in names if name != "coarse"]
    assert result["fit"]["per_class"]["settings"]["shape"] == {"per_class": True}
    assert result["settings"]["steps"] == 20
    assert result["settings"]["predict"]["scales"] == [1.0, 0.5]


def test_label_miou_at_a_coverage():
    # Level 2: two pixels of class 0, right. Level 1: one right and one wrong of class 1, and two
    # wrong of class 0, of which half are kept at a coverage of two thirds.
    pairs = np.zeros((3, 2, 2), np.int64)
    pairs[2, 0, 0] = 2
    pairs[1, 1, 1], pairs[1, 1, 0] = 1, 1
    pairs[1, 0, 1] = 2
    assert miou_at(pairs, 1 / 3) == 1.0
    # Kept: 2 right of class 0, and half of level 1: 0.5 right, 0.5 and 1 wrong.
    assert miou_at(pairs, 2 / 3) == pytest.approx((2 / 3.5 + 0.5 / 2) / 2)
    assert miou_at(pairs, 1.0) == pytest.approx((2 / 5 + 1 / 4) / 2)


@pytest.mark.parametrize("stride", [0, 2, 6])
def test_other_strides_than_whole_squares_of_cells_are_refused(prepared, stride):
    with pytest.raises(ValueError, match="multiple of 4"):
        reliability.main([*prepared, "--stride", str(stride)])


@pytest.mark.parametrize(
    ("expected", "true", "correlation"),
    [([1, 2, 3], [4, 5, 9], 1.0), ([1, 2, 3], [9, 5, 4], -1.0), ([1, 2, 3], [1, 3, 2], 0.5)],
)
def test_rank_correlation(expected, true, correlation):
    assert reliability_scores.rank_correlation(expected, true) == pytest.approx(correlation)
