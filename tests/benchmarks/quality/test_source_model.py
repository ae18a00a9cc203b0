from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality import source_model
from benchmarks.quality.folders import ClassList, LabelledFolder, list_images
from benchmarks.quality.source_model import Budget, class_weights, source_model_bundle
from benchmarks.training import train_segmenter
from models.bundle import read_bundle
from models.segmentation.compact import CompactSegmenter
from tests.benchmarks.quality.tiny_data import CLASSES, write_data

TINY = Budget(steps=2, batch_size=2, crop_hw=(32, 32))


@pytest.fixture
def source(tmp_path):
    data = write_data(tmp_path / "data")
    return LabelledFolder(
        tuple(list_images(data / "source" / "images")),
        data / "source" / "labels",
        ClassList.read(data / "classes.json"),
    )


def make(source: LabelledFolder, tmp_path: Path, seed: int = 0) -> Path:
    cache = tmp_path / "cache"
    return source_model_bundle(source, TINY, seed=seed, cache=cache, progress=False)


def test_bundle_has_the_classes_and_says_what_it_was_trained_on(source, tmp_path):
    bundle = read_bundle(make(source, tmp_path))
    assert tuple(c.name for c in bundle.ontology.classes) == CLASSES
    assert bundle.provenance["source_digest"] == source.digest()
    assert bundle.provenance["budget"]["steps"] == 2


def test_second_call_trains_nothing_and_another_seed_trains(source, tmp_path, monkeypatch):
    first = make(source, tmp_path)
    trained = []

    def train(*args: Any, **kwargs: Any) -> CompactSegmenter:
        trained.append(kwargs["seed"])
        return train_segmenter(*args, **kwargs)

    monkeypatch.setattr(source_model, "train_segmenter", train)
    assert make(source, tmp_path) == first
    assert trained == []
    assert make(source, tmp_path, seed=1) != first
    assert trained == [1]


def test_interrupted_training_leaves_no_bundle_and_resumes(source, tmp_path, monkeypatch):
    def break_off(*args, **kwargs):
        kwargs["checkpoint"].parent.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(source_model, "train_segmenter", break_off)
        with pytest.raises(KeyboardInterrupt):
            make(source, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []
    assert read_bundle(make(source, tmp_path)).provenance["seed"] == 0
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [""]


def test_small_classes_weigh_more_up_to_a_limit(source, monkeypatch):
    sizes = {0: 400, 1: 100, 2: 1}
    stored = np.repeat(np.array([*sizes, 255], np.uint8), [*sizes.values(), 7])
    one = LabelledFolder(source.images[:1], source.labels_dir, source.classes)
    monkeypatch.setattr(LabelledFolder, "label", lambda self, index: stored)
    # Roots of 100/400, 100/100 and 100/1, the last one cut off.
    assert class_weights(one) == [0.5, 1.0, 4.0]


def test_an_absent_class_has_weight_1(source, monkeypatch):
    stored = np.array([0, 0, 1, 1, 255], np.uint8)
    one = LabelledFolder(source.images[:1], source.labels_dir, source.classes)
    monkeypatch.setattr(LabelledFolder, "label", lambda self, index: stored)
    assert class_weights(one) == [1.0, 1.0, 1.0]
