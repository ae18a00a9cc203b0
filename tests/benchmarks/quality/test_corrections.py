import json
import shutil
from functools import partial

import numpy as np
import pytest

from benchmarks.quality import correction_trials, corrections
from benchmarks.quality.command_line import open_data
from benchmarks.quality.local_labeller import LocalLabeller
from models.bundle import write_bundle
from models.connectivity.correction import fit_correction
from models.connectivity.training import TrainingSettings
from models.ontology import ClassInfo, Ontology
from models.segmentation.compact import CompactSegmenter
from tests.benchmarks.quality.tile_region_model import TileRegionModel
from tests.benchmarks.quality.tiny_data import CLASSES, write_data


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command line for a tiny data set, a model that knows nothing, and regions of tiles."""
    monkeypatch.setattr(LocalLabeller, "_region_model", lambda self, name: TileRegionModel())
    monkeypatch.setattr(corrections, "region_model_digests", dict)
    monkeypatch.setattr(correction_trials, "FLIP_SHARES", (0.2,))
    short = partial(fit_correction, settings=TrainingSettings(round_steps=1, most_rounds=1))
    monkeypatch.setattr(correction_trials, "fit_correction", short)
    ontology = Ontology(
        "tiny", tuple(ClassInfo(i, name, "stuff", (i, 0, 0)) for i, name in enumerate(CLASSES))
    )
    write_bundle(tmp_path / "m", CompactSegmenter(3, width=4, feature_channels=4), ontology, {})
    write_data(tmp_path / "data")
    fixed = ["--data", "data", "--bundle", "m", "--json", "result.json"]
    return [str(tmp_path / p) if not p.startswith("--") else p for p in fixed]


def test_all_trials_are_run_and_scored(command, tmp_path, capsys):
    corrections.main(command)
    result = json.loads((tmp_path / "result.json").read_text())
    kinds = [row["kind"] for row in result["trials"]]
    assert kinds == ["flips"] * 2 + ["features"] * 5 + ["thresholds"] * 4
    assert {row["region_model"] for row in result["trials"]} == {"graph"}
    assert all(row["images"] == 3 for row in result["trials"])
    assert result["trials"][2]["auroc_real"] is not None
    assert "flipped" in capsys.readouterr().out


def test_without_truth_the_labels_of_the_target_stay_closed(command, tmp_path):
    shutil.rmtree(tmp_path / "data" / "target" / "labels_for_evaluation_only")
    corrections.main([*command, "--no-truth"])
    result = json.loads((tmp_path / "result.json").read_text())
    assert all(row["auroc_real"] is None for row in result["trials"])
    assert result["trials"][0]["auroc_flips"] is not None


def test_the_confusion_is_that_of_the_labelled_source(command, tmp_path, monkeypatch):
    options = corrections._parser().parse_args(command)
    data = open_data(options)
    monkeypatch.setattr(
        LocalLabeller,
        "predicted",
        lambda self, images, model, config: [np.ones((32, 40), np.uint8) for _ in images],
    )
    confusion = corrections.source_confusion(LocalLabeller(), "m", data)
    assert confusion.sum() == 2 * (32 * 40 - 3)  # two images of source_val, 3 pixels not annotated
    assert confusion[:, 1].sum() == confusion.sum()
