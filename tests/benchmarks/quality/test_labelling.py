from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.quality.labelling import LabelFolder, label_everything
from benchmarks.quality.stages import Plan

PLAIN = Plan(("predict", "select"))


class RecordingLabeller:
    """Notes what it is asked for; writes nothing."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def register_model(self, folder: Path, name: str) -> str:
        self.calls.append(("register", folder.name))
        return "m:1"

    def register_region_model(self, folder: Path, name: str) -> str:
        self.calls.append(("register region model", folder.name, name))
        return f"{name}:1"

    def adapt(self, model: str, images: Sequence[Path]) -> str:
        self.calls.append(("adapt", model, len(images)))
        return "m:2"

    def label_images(
        self, images: Sequence[Path], model: str, pipeline: dict[str, Any], out: LabelFolder
    ) -> None:
        stage = "select" if pipeline["select"] else "predict"
        if "aggregate" in pipeline:
            stage = pipeline["aggregate"]["region_model"]
        self.calls.append((stage, model, [i.name for i in images]))


def test_both_models_label_the_target_at_every_stage_and_others_by_predict(tmp_path):
    labeller = RecordingLabeller()
    target, other = [Path("a.png"), Path("b.png")], {"dawn": [Path("c.png")]}
    runs = list(label_everything(labeller, Path("bundle"), target, other, tmp_path / "out", PLAIN))
    names = ["a.png", "b.png"]
    assert labeller.calls == [
        ("register", "bundle"),
        ("adapt", "m:1", 2),
        ("predict", "m:1", names),
        ("select", "m:1", names),
        ("predict", "m:1", ["c.png"]),
        ("predict", "m:2", names),
        ("select", "m:2", names),
        ("predict", "m:2", ["c.png"]),
    ]
    assert [(r.model, r.images_name, r.stage) for r in runs[:3]] == [
        ("source", "target", "predict"),
        ("source", "target", "select"),
        ("source", "dawn", "predict"),
    ]
    assert len({r.labels.folder for r in runs}) == len(runs)


def test_only_the_adapted_model_looks_at_regions(tmp_path):
    labeller = RecordingLabeller()
    plan = Plan(("seed", "psa"), {"graph": None, "mine": Path("folder")})
    target = [Path("a.png")]
    runs = list(label_everything(labeller, Path("bundle"), target, {}, tmp_path / "out", plan))
    assert labeller.calls[2:] == [
        ("register region model", "folder", "mine"),
        ("predict", "m:1", ["a.png"]),
        ("predict", "m:2", ["a.png"]),
        ("select", "m:2", ["a.png"]),
        ("graph", "m:2", ["a.png"]),
        ("mine:1", "m:2", ["a.png"]),
    ]
    assert [(run.stage, run.region_model) for run in runs[2:]] == [
        ("seed", None),
        ("psa_graph", "graph"),
        ("psa_mine", "mine"),
    ]


def test_labels_of_an_earlier_run_are_removed(tmp_path):
    old = LabelFolder(tmp_path / "out" / "old")
    old.write("a", np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    list(label_everything(RecordingLabeller(), Path("bundle"), [], {}, tmp_path / "out", PLAIN))
    assert not (tmp_path / "out").exists()


def test_regions_come_back_as_written(tmp_path):
    folder = LabelFolder(tmp_path)
    empty = np.zeros((1, 1), np.uint8)
    folder.write("plain", empty, empty)
    assert not folder.has_regions
    folder.write("im", empty, empty, {"regions": []})
    assert LabelFolder(tmp_path).has_regions
    assert folder.read_regions("im") == {"regions": []}


def test_maps_come_back_as_written(tmp_path):
    folder = LabelFolder(tmp_path)
    label = np.array([[0, 255], [3, 1]], dtype=np.uint8)
    confidence = np.array([[200, 0], [7, 255]], dtype=np.uint8)
    folder.write("im", label, confidence)
    found_label, found_confidence = folder.read("im")
    np.testing.assert_array_equal(found_label, label)
    np.testing.assert_array_equal(found_confidence, confidence)
    with pytest.raises(FileNotFoundError):
        folder.read("other")
