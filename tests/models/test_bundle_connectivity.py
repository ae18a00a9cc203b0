"""The classifier of regions that a bundle may carry."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from models.bundle import read_bundle, write_bundle
from models.connectivity.classifier import Classifier
from models.connectivity.head import Columns, Head
from models.digest import file_sha256
from models.errors import ModelRefused
from models.normalisation import reestimate_batch_statistics, save_model
from models.segmentation.compact import CompactSegmenter
from models.segmentation.loading import check_model, connectivity_of, load_model
from tests.models.fakes import names

FEATURES = {"appearance": np.array([[0.5, -1.0], [2.0, 0.0]], np.float16)}
GIVEN = np.array([0, 2], np.uint8)


def classifier(classes: int = 3) -> Classifier:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    head = Head(
        drawn(2), np.ones(2, np.float32), drawn(2 + classes, 4), drawn(4), drawn(4, classes),
        drawn(classes),
    )  # fmt: skip
    inputs = (Columns("appearance", 0, 2, 2),)
    return Classifier(classes, inputs, (head,), temperature=1.5, noise=0.25, knows_given=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = CompactSegmenter(3, width=4, feature_channels=4).eval()
    write_bundle(tmp_path / "b", module, names(3), {}, connectivity=classifier())
    return tmp_path / "b"


def change(folder: Path, **values: Any) -> None:
    path = folder / "bundle.json"
    content = {**json.loads(path.read_text()), **values}
    content["files"] = {name: file_sha256(folder / name) for name in content["files"]}
    path.write_text(json.dumps(content))


def scores(found: Classifier | None) -> np.ndarray:
    assert found is not None
    return found.scores(FEATURES, GIVEN, image=0)


def test_it_comes_back_as_it_was(folder: Path) -> None:
    found = read_bundle(folder).connectivity
    assert found is not None
    np.testing.assert_array_equal(scores(found), scores(classifier()))
    assert (found.temperature, found.noise) == (1.5, 0.25)
    np.testing.assert_array_equal(scores(connectivity_of(load_model(folder, "cpu"))), scores(found))
    assert check_model(folder, "cpu")["has_connectivity"]


def test_writing_without_it_takes_the_file_away(folder: Path) -> None:
    bundle = read_bundle(folder)
    write_bundle(folder, bundle.module, bundle.ontology, {})
    assert sorted(p.name for p in folder.iterdir()) == ["bundle.json", "segmenter.safetensors"]
    assert read_bundle(folder).connectivity is None


def test_an_adapted_model_keeps_it(folder: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)
    adapted = reestimate_batch_statistics(load_model(folder, "cpu"), list(images))
    assert adapted.changed
    save_model(adapted.model, tmp_path / "adapted")
    found = read_bundle(tmp_path / "adapted").connectivity
    np.testing.assert_array_equal(scores(found), scores(classifier()))


CONFIG = classifier().config()


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {**CONFIG, "format_version": 2},
        {**CONFIG, "heads": 2},
        {**CONFIG, "heads": 0},
        {**CONFIG, "inputs": [{"group": "appearance"}]},
        {**CONFIG, "inputs": [{"group": "appearance", "start": "0", "stop": 2, "width": 2}]},
        {**CONFIG, "inputs": 3},
        {**CONFIG, "temperature": 0},
        {**CONFIG, "knows_given": False},
        {**CONFIG, "num_classes": "many"},
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, config: Any) -> None:
    change(folder, connectivity=config)
    with pytest.raises(ModelRefused) as caught:
        read_bundle(folder)
    assert caught.value.code == "model-unreadable"


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    tensors = classifier().tensors()
    tensors["heads.0.bias_in"] = np.array([1, 2, np.nan, 4], np.float32)
    save_file(tensors, folder / "connectivity.safetensors")
    change(folder)
    with pytest.raises(ModelRefused, match="not finite"):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_a_damaged_file_is_refused(folder: Path, content: bytes) -> None:
    (folder / "connectivity.safetensors").write_bytes(content)
    with pytest.raises(ModelRefused, match="is damaged"):
        read_bundle(folder)
    change(folder)  # somebody has corrected the digest
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_bundle(folder)


def test_a_classifier_of_other_classes_is_refused(folder: Path) -> None:
    bundle = read_bundle(folder)
    with pytest.raises(ValueError, match="classifier of regions has 4 classes, the ontology 3"):
        write_bundle(folder, bundle.module, bundle.ontology, {}, connectivity=classifier(4))
    save_file(classifier(4).tensors(), folder / "connectivity.safetensors")
    change(folder, connectivity=classifier(4).config())
    with pytest.raises(ModelRefused) as caught:
        read_bundle(folder)
    assert caught.value.code == "model-classes-mismatch"
