from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import correction_trials
from benchmarks.quality.correction_trials import (
    feature_trials,
    flip_regions,
    flip_trials,
    threshold_trials,
    trial_row,
)
from benchmarks.quality.folders import ClassList, LabelledFolder
from models.connectivity.config import CorrectConfig
from models.connectivity.correction import fit_correction
from models.connectivity.regions import Regions
from models.connectivity.training import TrainingSettings
from tests.benchmarks.quality.tiny_data import write_classes
from tests.models.connectivity.region_toys import CLASSES, regions_of_vectors, toy

APPEARANCE = CorrectConfig(features=("appearance",))
CONFUSION = np.array([[9, 1, 0, 0], [0, 9, 1, 0], [0, 0, 9, 1], [1, 0, 0, 9]])


@pytest.fixture
def short(monkeypatch):
    """Fits that learn little, where only who decides matters."""
    settings = TrainingSettings(round_steps=1, most_rounds=1)
    monkeypatch.setattr(
        correction_trials, "fit_correction", partial(fit_correction, settings=settings)
    )


@pytest.fixture
def few_steps(monkeypatch):
    settings = TrainingSettings(hidden=16, learning_rate=3e-3, most_rounds=6)
    monkeypatch.setattr(
        correction_trials, "fit_correction", partial(fit_correction, settings=settings)
    )


def regions(images: int = 12, noise: float = 0.0) -> dict[str, Regions]:
    found = toy(count=images * 20, noise=noise)
    return {
        f"image {i}": regions_of_vectors(
            {"appearance": found.vectors[i * 20 : (i + 1) * 20]},
            found.given[i * 20 : (i + 1) * 20],
        )
        for i in range(images)
    }


def test_flips_follow_the_confusion_and_votes_change_places():
    before = regions()
    after, is_flipped = flip_regions(before, 0.4, CONFUSION, seed=0)
    flipped = np.concatenate(is_flipped)
    assert 0.3 < flipped.mean() < 0.5
    for name, flags in zip(before, is_flipped, strict=True):
        expected = (before[name].classes + flags) % CLASSES
        assert after[name].classes.tolist() == expected.tolist()
        assert (after[name].vote_share() == before[name].vote_share()).all()


def test_a_fit_finds_most_flips_in_separable_classes(monkeypatch, few_steps):
    monkeypatch.setattr(correction_trials, "FLIP_SHARES", (0.2,))
    trials = list(flip_trials(regions(), CONFUSION, APPEARANCE, None, seed=0))
    rows = [trial_row(trial, None, seed=0) for trial in trials]
    assert [(r["drawn_from"], r["share"]) for r in rows] == [("confusion", 0.2), ("uniform", 0.2)]
    for row in rows:
        assert row["decided_by"] == "job"
        assert row["auroc_flips"]["value"] > 0.8
        assert row["auroc_real"] is None


def test_features_that_are_not_there_leave_the_decision_to_votes(monkeypatch, short):
    monkeypatch.setattr(correction_trials, "FEATURE_GROUPS", ("appearance", "votes"))
    rows = [trial_row(t, None, 0) for t in feature_trials(regions(6), APPEARANCE, None)]
    assert [(row["features"], row["decided_by"]) for row in rows] == [
        (["appearance"], "job"),
        (["votes"], "none"),
        (["appearance", "votes"], "job"),
    ]


def test_least_numbers_are_tried_on_ever_fewer_images(short):
    config = replace(APPEARANCE, least_regions=200, least_class_regions=30)
    rows = [trial_row(t, None, 0) for t in threshold_trials(regions(12), config, None)]
    # 240 regions in 12 images, then 120 in 6.
    assert [(r["images"], r["regions"], r["decided_by"]) for r in rows[:5]] == [
        *[(12, 240, "job")] * 4,
        (6, 120, "none"),
    ]
    assert [(r["least_regions"], r["least_class_regions"]) for r in rows[:4]] == [
        *((200, 30), (0, 30), (200, 0), (0, 0))
    ]
    assert rows[7]["decided_by"] == "job"
    assert len(rows) == 8


@pytest.fixture
def truth(tmp_path):
    """Of two images with 20 pixels, all of class 0; the last pixel is not annotated."""
    write_classes(tmp_path / "classes.json", stored_ignore=9)
    label = np.zeros((1, 20), np.uint8)
    label[0, -1] = 9
    (tmp_path / "truth").mkdir()
    images = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in images:
        Image.new("RGB", (20, 1)).save(path)
        cv2.imwrite(str(tmp_path / "truth" / path.name), label)
    classes = ClassList.read(tmp_path / "classes.json")
    return LabelledFolder(tuple(images), tmp_path / "truth", classes)


def test_real_errors_are_scored_where_the_truth_is_known(truth, short):
    *_, trial = feature_trials(regions(2), replace(APPEARANCE, fit="model"), None)
    wrong = [found.classes != 0 for found in trial.regions.values()]
    sure = replace(trial, posterior=[flags.astype(np.float32) for flags in wrong])
    row = trial_row(sure, truth, seed=0)
    assert row["auroc_real"]["value"] == 1.0
    assert row["auroc_confidence"]["value"] == 0.5
