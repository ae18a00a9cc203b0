import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.bundle import write_bundle
from models.errors import ModelRefused
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter
from models.segmentation.exported import ExportedSegmenter, ProgramInput, write_exported_model
from models.segmentation.huggingface import HuggingFaceSegmenter
from models.segmentation.loading import check_model, detect_kind, load_model
from tests.models.fakes import TinyNet, names
from tests.models.tiny_huggingface import tiny

# TorchScript is deprecated in torch 2.13; its files are taken all the same.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def save_script(net: nn.Module, path: Path) -> None:
    script: Any = torch.jit.script(net)
    script.save(path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model folder of each kind, named after the kind."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    write_bundle(root / "bundle", CompactSegmenter(3, width=6, feature_channels=8), names(3), {})
    tiny("segformer").save_pretrained(root / "huggingface")
    net = TinyNet().eval()
    save_script(net, root / "net.pt")
    torch.export.save(torch.export.export(net, (torch.rand(1, 3, 64, 80),)), root / "net.pt2")
    write_exported_model(root / "torchscript", root / "net.pt", names(3))
    write_exported_model(
        root / "torch_export", root / "net.pt2", names(3), ProgramInput(fixed_size_hw=(64, 80))
    )
    return root


CLASSES = {
    "bundle": BundledSegmenter,
    "huggingface": HuggingFaceSegmenter,
    "torchscript": ExportedSegmenter,
    "torch_export": ExportedSegmenter,
}


@pytest.mark.parametrize("kind", list(CLASSES))
def test_each_kind_is_detected_loaded_and_tried(folders, kind):
    assert detect_kind(folders / kind) == kind
    model = load_model(folders / kind, "cpu")
    assert type(model) is CLASSES[kind]
    assert model.device == torch.device("cpu")
    facts = check_model(folders / kind, "cpu")
    assert facts.pop("seconds") > 0
    has_weights = kind in ("bundle", "huggingface")
    parameters = facts.pop("parameters")
    assert parameters > 1000 if has_weights else parameters is None
    assert facts == {
        "kind": kind,
        "ontology": model.ontology.to_dict(),
        "classes": 5 if kind == "huggingface" else 3,
        "has_batch_statistics": has_weights,
        "has_connectivity": False,
        "has_rectifier": False,
    }


def refusal(folder: Path) -> ModelRefused:
    with pytest.raises(ModelRefused) as caught:
        check_model(folder, "cpu")
    assert str(caught.value) == f"{caught.value.reason} {caught.value.remedy}"
    return caught.value


def test_no_folder_and_an_empty_folder(tmp_path):
    assert "no folder" in refusal(tmp_path / "none").reason
    assert refusal(tmp_path).code == "model-unreadable"
    (tmp_path / "readme.txt").write_text("hello")
    assert "holds no model" in refusal(tmp_path).reason


@pytest.mark.parametrize("name", ["weights.pth", "weights.ckpt", "pytorch_model.bin", "w.pt"])
def test_a_pickle_is_refused_with_the_command_that_helps(tmp_path, name):
    torch.save({"weight": torch.zeros(2)}, tmp_path / name)
    error = refusal(tmp_path)
    assert error.code == "model-is-pickle"
    assert f"selvage models convert {name}" in error.remedy


def test_a_program_without_its_manifest_is_refused(folders, tmp_path):
    shutil.copy(folders / "net.pt2", tmp_path)
    error = refusal(tmp_path)
    assert error.code == "model-has-code"
    assert "selvage models add" in error.remedy


def script(folder: Path, net: nn.Module, classes: int = 3) -> Path:
    save_script(net.eval(), folder / "net.pt")
    write_exported_model(folder / "model", folder / "net.pt", names(classes))
    return folder / "model"


def test_scores_for_other_classes_are_refused(tmp_path):
    error = refusal(script(tmp_path, TinyNet(4)))
    assert error.code == "model-classes-mismatch"
    assert "scores for 4 classes, its list of classes has 3" in error.reason


def test_scores_that_are_not_finite_are_refused(tmp_path):
    net = TinyNet()
    net.classify.bias = nn.Parameter(torch.tensor([0.0, float("nan"), 0.0]))
    error = refusal(script(tmp_path, net))
    assert error.code == "model-output-invalid"


def test_scores_that_are_no_maps_are_refused(tmp_path):
    assert refusal(script(tmp_path, nn.Flatten())).code == "model-output-invalid"


class Pair(nn.Module):
    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": images}


def test_a_dictionary_is_refused(tmp_path):
    error = refusal(script(tmp_path, Pair()))
    assert error.code == "model-output-invalid"
    assert "logits or (logits, features)" in error.reason


def test_a_program_that_fails_is_refused_with_the_size(folders, tmp_path):
    manifest = folders / "torch_export" / "selvage-model.json"
    shutil.copytree(folders / "torch_export", tmp_path / "model")
    content = {**json.loads(manifest.read_text()), "fixed_size_hw": None}
    (tmp_path / "model" / "selvage-model.json").write_text(json.dumps(content))
    error = refusal(tmp_path / "model")
    assert error.code == "model-unreadable"
    assert "fails on a picture of 96 x 128 px" in error.reason
