import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.quality import __main__ as quality
from benchmarks.quality.folders import ClassList, read_index_png
from benchmarks.quality.local_labeller import LocalLabeller
from benchmarks.quality.source_model import BUDGETS, Budget
from models.bundle import write_bundle
from models.digest import folder_digest
from models.segmentation.compact import CompactSegmenter
from tests.benchmarks.quality.tile_region_model import TileRegionModel
from tests.benchmarks.quality.tiny_data import CLASSES, write_classes, write_data, write_folder
from tests.support.tiny_model import write_tiny_bundle


@pytest.fixture
def data(tmp_path, monkeypatch):
    tiny = Budget(steps=3, batch_size=2, crop_hw=(32, 32))
    monkeypatch.setitem(BUDGETS, "small", tiny)
    return write_data(tmp_path / "tiny")


def run(data: Path, tmp_path: Path, *options: str) -> dict[str, Any]:
    cache, report = tmp_path / "cache", tmp_path / "report.json"
    fixed = ["--data", data, "--in-process", "--cache", cache, "--json", report]
    if "--stages" not in options:
        fixed += ["--stages", "predict,select"]
    quality.main([str(part) for part in (*fixed, *options)])
    result: dict[str, Any] = json.loads(report.read_text())
    return result


def label_bytes(tmp_path: Path) -> dict[str, bytes]:
    labels = tmp_path / "cache" / "labels"
    return {str(p.relative_to(labels)): p.read_bytes() for p in sorted(labels.rglob("*.png"))}


def test_result_has_the_keys_of_every_quality_benchmark(data, tmp_path):
    result = run(data, tmp_path)
    assert (result["data"], result["seed"], result["budget"]) == ("tiny", 0, "small")
    assert list(result["labels"])[:2] == ["predict", "select"]
    figures = {
        *("miou_kept", "miou_full", "coverage", "accuracy_kept", "boundary_iou", "auroc", "ece"),
        "rival",
    }
    for row in result["labels"].values():
        assert figures <= set(row)
    assert list(result["models"]) == ["source", "source_bn"]
    for folders in result["models"].values():
        assert list(folders) == ["target", "source_val"]
        for row in folders.values():
            assert list(row["iou"]) == list(CLASSES)
    assert result["labels"]["predict"]["coverage"] == 1.0
    assert 0.6 < result["labels"]["select"]["coverage"] < 0.8


def test_stages_for_regions_have_rows_by_region_model(data, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalLabeller, "_region_model", lambda self, name: TileRegionModel())
    monkeypatch.setattr(
        quality, "region_model_digests", lambda found: dict.fromkeys(found, "digest")
    )
    stages = ["--stages", "seed,psa,psa_scc", "--region-model", "graph", "--region-model", "tiles"]
    result = run(data, tmp_path, *stages)
    assert list(result["labels"]) == [
        "predict",
        "source_bn_predict",
        "source_bn_seed",
        *(
            f"source_bn_{stage}_{model}{filled}"
            for model in ("graph", "tiles")
            for stage in ("psa", "psa_scc")
            for filled in ("", "_filled")
        ),
    ]
    assert result["region_models"] == {"graph": "digest", "tiles": "digest"}
    assert result["labels"]["source_bn_psa_graph"]["regions"]["regions"] > 0
    assert result["labels"]["source_bn_psa_scc_graph"]["regions"]["decided_by"] == "none"
    assert result["labels"]["source_bn_psa_graph_filled"]["coverage"] == 1.0


def test_a_given_model_is_used_and_recorded(data, tmp_path):
    bundle = tmp_path / "bundle"
    ontology = ClassList.read(data / "classes.json").ontology
    write_bundle(bundle, CompactSegmenter(3, width=4, feature_channels=4), ontology, {})
    result = run(data, tmp_path, "--bundle", str(bundle))
    assert (result["budget"], result["bundle"]) == (None, folder_digest(bundle))
    assert not (tmp_path / "cache" / "models").exists()


def test_a_given_model_must_know_the_classes(data, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle")
    with pytest.raises(ValueError, match="other classes"):
        run(data, tmp_path, "--bundle", str(bundle))


@pytest.mark.parametrize("text", ["=folder", "mine=", "nano=folder"])
def test_a_malformed_region_model_is_refused(text, data, capsys):
    with pytest.raises(SystemExit):
        quality.main(["--data", str(data), "--region-model", text])
    assert "NAME[=FOLDER]" in capsys.readouterr().err


def test_further_folders_are_scored_by_both_models(data, tmp_path):
    more = tmp_path / "more"
    write_folder(more / "images", more / "labels", 2, seed=9)
    result = run(data, tmp_path, "--evaluate", f"dawn={more / 'images'}:{more / 'labels'}")
    for folders in result["models"].values():
        assert folders["dawn"]["images"] == 2


def test_a_further_folder_may_store_ignore_otherwise_but_not_other_classes(data, tmp_path):
    more = tmp_path / "more"
    write_folder(more / "images", more / "labels", 1, seed=9)
    folders = f"dawn={more / 'images'}:{more / 'labels'}"
    write_classes(more / "classes.json", names=("sky", "grass", "car"))
    with pytest.raises(ValueError, match="other classes"):
        run(data, tmp_path, "--evaluate", folders)
    label = read_index_png(more / "labels" / "im0.png").copy()
    label[label == 3] = 77
    cv2.imwrite(str(more / "labels" / "im0.png"), label)
    write_classes(more / "classes.json", stored_ignore=77)
    assert run(data, tmp_path, "--evaluate", folders)["models"]["source"]["dawn"]["images"] == 1


def test_target_truth_is_opened_only_after_every_label_is_written(data, tmp_path):
    run(data, tmp_path)
    before = label_bytes(tmp_path)
    truth = data / "target" / "labels_for_evaluation_only"
    for path in truth.iterdir():
        cv2.imwrite(str(path), np.zeros((32, 40), np.uint8))
    run(data, tmp_path)
    assert label_bytes(tmp_path) == before
    shutil.rmtree(truth)
    with pytest.raises(FileNotFoundError):
        run(data, tmp_path)
    assert label_bytes(tmp_path) == before
    # Two models: target through two pipelines, source_val through one; two files an image.
    assert len(before) == 2 * (3 * 2 + 2) * 2


@pytest.mark.parametrize("text", ["dawn", "dawn=a", "=a:b", "dawn=:b"])
def test_malformed_folder_is_refused(text, data, capsys):
    with pytest.raises(SystemExit):
        quality.main(["--data", str(data), "--evaluate", text])
    assert "NAME=IMAGES_DIR:LABELS_DIR" in capsys.readouterr().err
