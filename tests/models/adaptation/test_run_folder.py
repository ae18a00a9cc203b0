"""What is read of a run folder, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.adaptation.data import all_of
from models.adaptation.errors import RunRefused
from models.adaptation.run_folder import RunSpec, source_samples, target_samples
from tests.models.adaptation.run_folders import write_run
from tests.models.adaptation.toys import QUICK, source, target


def test_a_folder_gives_what_was_written(tmp_path):
    run = write_run(tmp_path)
    spec = RunSpec.read(run / "spec.json")
    assert (spec.setting, spec.seed, spec.steps, spec.threads) == ("uda", 0, 4, 1)
    assert spec.recipe == QUICK
    for found, written in zip(all_of(source_samples(run / "source", 3)), source(), strict=True):
        assert (found.image == written.image).all()
        assert (found.label == written.label).all()
    for kept, stored in zip(all_of(target_samples(run / "target", 3)), target(), strict=True):
        assert (kept.label == stored.label).all()
        assert (kept.confidence == stored.confidence).all()
        assert (kept.id, kept.weight, kept.reviewed) == (stored.id, 1.0, False)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"setting": "supervised"},
        {"seed": -1},
        {"steps": 0},
        {"steps": "4"},
        {"threads": 0},
        {"recipe": {"learning_rat": 1}},
        {"recipe": []},
        {"extra": 1},
    ],
)
def test_a_wrong_specification_is_refused(tmp_path, change):
    path = tmp_path / "spec.json"
    right = {"version": 1, "setting": "uda", "seed": 0, "steps": 4, "threads": None, "recipe": {}}
    path.write_text(json.dumps(right))
    RunSpec.read(path)
    path.write_text(json.dumps({**right, **change}))
    with pytest.raises(RunRefused) as refused:
        RunSpec.read(path)
    assert refused.value.code == "bad-spec"


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_what_is_no_specification_is_refused(tmp_path, text):
    (tmp_path / "spec.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunRefused):
        RunSpec.read(tmp_path / "spec.json")


def broken(folder: Path, **change: object) -> RunRefused:
    """How the first target sample is refused with its line changed."""
    manifest = folder / "manifest.jsonl"
    first, *rest = manifest.read_text().splitlines()
    manifest.write_text("\n".join([json.dumps({**json.loads(first), **change}), *rest]))
    with pytest.raises(RunRefused) as refused:
        target_samples(folder, 3)[0]
    return refused.value


@pytest.mark.parametrize(
    "change",
    [
        {"image": "../../secret.png"},
        {"image": "/etc/passwd"},
        {"image": 3},
        {"label": "absent.png"},
        {"label": "t0.image.png"},  # three channels
        {"label": "small.png"},
        {"label": "manifest.jsonl"},
        {"weight": -1},
        {"weight": "1"},
        {"reviewed": 1},
        {"regions": "manifest.jsonl"},
    ],
)
def test_a_hostile_line_is_refused(tmp_path, change):
    folder = write_run(tmp_path, setting="source_free") / "target"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / "small.png")
    assert broken(folder, **change).code == "bad-spec"


def test_a_class_that_the_model_does_not_have_is_refused(tmp_path):
    folder = write_run(tmp_path, setting="source_free") / "target"
    label = np.full((24, 24), 3, np.uint8)
    Image.fromarray(label).save(folder / "t0.label.png")
    assert broken(folder).code == "ontology-mismatch"


@pytest.mark.parametrize("text", ["", "{", "3", '{"id": 3}'])
def test_a_wrong_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(RunRefused):
        target_samples(tmp_path, 3)
