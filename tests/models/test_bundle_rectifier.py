"""The rectifier that a bundle may carry."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from models.bundle import read_bundle, write_bundle
from models.digest import file_sha256
from models.errors import ModelRefused
from models.normalisation import reestimate_batch_statistics, save_model
from models.ontology import Ontology
from models.rectification.rectifier import Rectifier, weights_digest
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter
from models.segmentation.loading import check_model, load_model, rectifier_of
from tests.models.fakes import names
from tests.support.tiny_rectifier import FEATURE_CHANNELS, tiny_rectifier


def rectifier(classes: int = 3, fitted_for: str = "") -> Rectifier:
    return tiny_rectifier(names(classes), fitted_for)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = CompactSegmenter(3, width=4, feature_channels=FEATURE_CHANNELS).eval()
    write_bundle(tmp_path / "b", module, names(3), {})
    fitted_for = weights_digest(load_model(tmp_path / "b", "cpu"))
    write_bundle(tmp_path / "b", module, names(3), {}, rectifier=rectifier(3, fitted_for))
    return tmp_path / "b"


def change(folder: Path, **values: Any) -> None:
    path = folder / "bundle.json"
    content = {**json.loads(path.read_text()), **values}
    content["files"] = {name: file_sha256(folder / name) for name in content["files"]}
    path.write_text(json.dumps(content))


def assert_same(found: Rectifier | None, expected: Rectifier) -> None:
    assert found is not None
    assert found.config() == {**expected.config(), "fitted_for": found.fitted_for}
    assert found.tensors().keys() == expected.tensors().keys()
    for name, values in expected.tensors().items():
        np.testing.assert_array_equal(found.tensors()[name], values)


def test_it_comes_back_as_it_was(folder: Path) -> None:
    assert_same(read_bundle(folder).rectifier, rectifier())
    assert_same(rectifier_of(load_model(folder, "cpu")), rectifier())
    assert check_model(folder, "cpu")["has_rectifier"]


def test_writing_without_it_takes_the_file_away(folder: Path) -> None:
    bundle = read_bundle(folder)
    write_bundle(folder, bundle.module, bundle.ontology, {})
    assert sorted(p.name for p in folder.iterdir()) == ["bundle.json", "segmenter.safetensors"]
    assert read_bundle(folder).rectifier is None
    assert not check_model(folder, "cpu")["has_rectifier"]


def test_an_adapted_model_keeps_it(folder: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)
    adapted = reestimate_batch_statistics(load_model(folder, "cpu"), list(images))
    assert adapted.changed
    save_model(adapted.model, tmp_path / "adapted")
    assert_same(rectifier_of(load_model(tmp_path / "adapted", "cpu")), rectifier())


def test_a_rectifier_of_other_weights_is_refused(folder: Path) -> None:
    model = BundledSegmenter.load(folder, torch.device("cpu"))
    with torch.no_grad():
        next(model.module.parameters()).add_(1)
    model.save(folder)
    for load in (load_model, check_model):
        with pytest.raises(ModelRefused) as caught:
            load(folder, "cpu")
        assert caught.value.code == "rectifier-of-another-model"


CONFIG = rectifier().config()


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {**CONFIG, "format_version": 2},
        {**CONFIG, "field": {}},
        {**CONFIG, "class_names": 3},
        {**CONFIG, "class_names": ["class 0"]},
        {**CONFIG, "calibration": {"scale": 0, "shift": 0}},
        {**CONFIG, "auxiliary": False, "confidence_gain": "much"},
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder: Path, config: Any) -> None:
    change(folder, rectifier=config)
    with pytest.raises(ModelRefused) as caught:
        read_bundle(folder)
    assert caught.value.code == "model-unreadable"


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    tensors = rectifier().tensors()
    name = min(tensors)
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, folder / "rectifier.safetensors")
    change(folder)
    with pytest.raises(ModelRefused, match="finite"):
        read_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_a_damaged_file_is_refused(folder: Path, content: bytes) -> None:
    (folder / "rectifier.safetensors").write_bytes(content)
    with pytest.raises(ModelRefused, match="is damaged"):
        read_bundle(folder)
    change(folder)  # somebody has corrected the digest
    with pytest.raises(ModelRefused, match="rectifier cannot be read"):
        read_bundle(folder)


def test_other_classes_are_refused(folder: Path) -> None:
    module = read_bundle(folder).module
    with pytest.raises(ValueError, match="rectifier has 4 classes, the ontology 3"):
        write_bundle(folder, module, names(3), {}, rectifier=rectifier(4))
    save_file(rectifier(4).tensors(), folder / "rectifier.safetensors")
    change(folder, rectifier=rectifier(4).config())
    with pytest.raises(ModelRefused) as caught:
        read_bundle(folder)
    assert caught.value.code == "model-classes-mismatch"


def test_another_order_of_the_classes_is_refused(folder: Path) -> None:
    order = ["class 2", "class 0", "class 1"]
    module = read_bundle(folder).module
    other = replace(rectifier(), class_names=tuple(order))
    with pytest.raises(ValueError, match="another order"):
        write_bundle(folder, module, names(3), {}, rectifier=other)
    change(folder, ontology=Ontology.from_names("test", order).to_dict())
    with pytest.raises(ModelRefused, match="Fit the rectifier anew") as caught:
        read_bundle(folder)
    assert caught.value.code == "model-classes-mismatch"
