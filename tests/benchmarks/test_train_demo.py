import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import train_demo
from benchmarks.scenes import (
    SCENE_ONTOLOGY,
    TARGET_STYLES,
    SceneDataset,
    generate_scene,
    split_seeds,
)
from models.config import PredictConfig
from models.prediction import Predictor
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.loading import load_model


@pytest.fixture
def tiny(monkeypatch, tmp_path) -> Namespace:
    """Settings of a run that takes seconds."""
    for name, value in {
        "TRAINING_SCENES": 3,
        "ORACLE_SCENES": 2,
        "WEIGHING_SCENES": 2,
        "STATISTICS_SCENES": 2,
        "TEST_SCENES": 1,
        "BATCH_SIZE": 2,
        "CROP_HW": (32, 48),
        "TARGET_STYLES": ("fog",),
    }.items():
        monkeypatch.setattr(train_demo, name, value)
    return Namespace(
        seed=0,
        steps=2,
        oracle="fog",
        oracle_steps=1,
        threads=1,
        bundle=tmp_path / "bundle",
        cache=tmp_path / "cache",
        out=tmp_path / "results" / "result.json",
    )


def test_run_writes_bundle_and_result_and_the_oracle_adds_its_row(tiny):
    result = train_demo.run_source(tiny)
    train_demo.write_result(tiny.out, result)
    assert json.loads(tiny.out.read_text()) == result
    assert set(result["targets"]) == {"fog"}
    assert set(result["targets"]["fog"]) == {"plain", "source_bn"}
    assert set(result["source"]["iou"]) == {info.name for info in SCENE_ONTOLOGY.classes}
    assert load_model(tiny.bundle, "cpu").ontology == SCENE_ONTOLOGY
    with_oracle = train_demo.run_oracle(tiny)
    assert with_oracle["source"] == result["source"]
    assert with_oracle["targets"]["fog"]["oracle"]["steps"] == 1


def test_score_of_a_model_is_one_confusion_matrix_over_all_scenes(tiny):
    train_demo.run_source(tiny)
    model = load_model(tiny.bundle, "cpu")
    predictor = Predictor(model, PredictConfig())
    scenes = [generate_scene("day", seed) for seed in (5, 6)]
    truth = np.concatenate([scene.label.ravel() for scene in scenes])
    found = np.concatenate(
        [p.label.ravel() for scene in scenes for _, p in predictor.predict([scene.image])]
    )
    iou = [
        ((truth == k) & (found == k)).sum() / ((truth == k) | (found == k)).sum()
        for k in np.unique(truth)
    ]
    assert train_demo.score(model, "day", (5, 6))["miou"] == pytest.approx(np.mean(iou), abs=1e-4)


def test_rare_classes_weigh_more_and_pixels_one_on_average(tiny):
    weights = np.array(train_demo.class_weights(SceneDataset("day", range(2))))
    labels = np.concatenate([generate_scene("day", s).label.ravel() for s in (0, 1)])
    pixels = np.bincount(labels, minlength=10)
    share = pixels / pixels.sum()
    assert (weights * share).sum() == pytest.approx(1.0, abs=1e-3)
    assert (np.diff(weights[np.argsort(share)]) <= 0).all()


def test_statistics_scenes_are_neither_trained_on_nor_tested(monkeypatch):
    seen: list[int] = []

    def generate(style: str, seed: int) -> type[_Blank]:
        seen.append(seed)
        return _Blank

    monkeypatch.setattr(train_demo, "generate_scene", generate)
    monkeypatch.setattr(train_demo, "reestimate_batch_statistics", lambda m, i: list(i) and _Same)
    train_demo.adapted(BundledSegmenter.__new__(BundledSegmenter), TARGET_STYLES[0])
    assert len(seen) >= 64
    assert min(seen) >= train_demo.TRAINING_SCENES
    assert max(seen) < 1_000_000


def test_committed_weights_know_the_day_and_less_of_the_night():
    """Fails when generator and weights no longer belong together."""
    model = load_model(Path(__file__).parents[2] / "examples" / "demo_model", "cpu")
    seeds = split_seeds("test", 4)
    day = train_demo.score(model, "day", seeds)["miou"]
    night = train_demo.score(model, "night", seeds)["miou"]
    assert day > 0.6
    assert night < day - 0.15


class _Blank:
    image = np.zeros((8, 8, 3), np.uint8)


class _Same:
    model = None
