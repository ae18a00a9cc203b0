"""The comparison of reliabilities, small: a model of twenty steps, a few images."""

import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks.quality import reliability
from benchmarks.quality.folders import ClassList, LabelledFolder, list_images
from benchmarks.training import AugmentationConfig, train_segmenter
from models.bundle import write_bundle
from models.ontology import Ontology
from models.rectification.source_fit import SourceFitSettings
from models.rectification.training import TrainingSettings
from models.segmentation.compact import CompactSegmenter
from tests.benchmarks.quality.tiny_data import CLASSES, write_data, write_folder

ESTIMATES = [
    *("max_softmax", "calibrated", "negentropy", "agreement", "divergence", "grid", "field"),
    "rectified",
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


def test_every_estimate_gets_every_figure(tmp_path, monkeypatch):
    bundle, data, out = tmp_path / "model", write_data(tmp_path / "data"), tmp_path / "r.json"
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
    reliability.main(["--data", str(data), "--bundle", str(bundle), "--json", str(out)])
    result = json.loads(out.read_text())
    (found,) = result["targets"].values()
    assert found["images"] == 3
    assert list(found["estimators"]) == ESTIMATES
    for name, figures in found["estimators"].items():
        assert 0 <= figures["ece"] <= 1, name
        assert 0 <= figures["auroc"] <= 1, name
    assert found["estimators"]["field"]["miou"] == found["estimators"]["grid"]["miou"]
    assert set(result["quality_of_all"]) == set(ESTIMATES) - {"rectified"}
    assert result["quality_of_all"]["field"]["images"] == 3
    assert result["fit"]["images"] == 10


@pytest.mark.parametrize(
    ("expected", "true", "correlation"),
    [([1, 2, 3], [4, 5, 9], 1.0), ([1, 2, 3], [9, 5, 4], -1.0), ([1, 2, 3], [1, 3, 2], 0.5)],
)
def test_rank_correlation(expected, true, correlation):
    assert reliability._rank_correlation(expected, true) == pytest.approx(correlation)
