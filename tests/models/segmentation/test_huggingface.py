import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from models.errors import ModelRefused
from models.segmentation.huggingface import HuggingFaceSegmenter
from tests.models.tiny_huggingface import ARCHITECTURES, LABELS, tiny

CPU = torch.device("cpu")
NO_NORMALISATION = {"do_normalize": False, "do_rescale": True}


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("segformer")
    tiny("segformer").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(segformer: Path, tmp_path: Path) -> Path:
    """A copy of the SegFormer folder that a test may spoil."""
    return shutil.copytree(segformer, tmp_path / "model")


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_the_library(architecture, tmp_path):
    network = tiny(architecture)
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(NO_NORMALISATION))
    model = HuggingFaceSegmenter.load(tmp_path, CPU)
    assert [c.name for c in model.ontology.classes] == list(LABELS.values())
    assert {c.kind for c in model.ontology.classes} == {"stuff"}
    assert model.has_batch_statistics
    with torch.inference_mode():
        for size_hw in [(64, 96), (37, 53)]:
            images = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(1))
            output = model.forward(images)
            assert output.covers_hw_px == size_hw
            assert output.features is not None
            assert output.features.shape[:2] == (2, 12)
            ours, theirs = (
                F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)
                for logits in (output.logits, network(images).logits)
            )
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size_hw", [(1, 1), (5, 200), (33, 32)])
def test_any_size_is_taken(architecture, size_hw, tmp_path):
    tiny(architecture).save_pretrained(tmp_path)
    model = HuggingFaceSegmenter.load(tmp_path, CPU)
    with torch.inference_mode():
        output = model.forward(torch.rand(1, 3, *size_hw))
    assert output.covers_hw_px == (max(32, size_hw[0]), max(32, size_hw[1]))
    assert output.logits.shape[:2] == (1, 5)
    assert bool(torch.isfinite(output.logits).all())


@pytest.mark.parametrize(
    ("preprocessor", "mean", "std"),
    [
        (None, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ({}, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        (NO_NORMALISATION, [0, 0, 0], [1, 1, 1]),
        ({"image_mean": [0.5, 0.4, 0.3], "image_std": 0.25}, [0.5, 0.4, 0.3], [0.25] * 3),
        # Rescaled to [-1, 1] in effect: x * 255 * (2 / 255) - 1.
        ({"rescale_factor": 2 / 255, "image_mean": 1, "image_std": 1}, [0.5] * 3, [0.5] * 3),
        ({"do_rescale": False, "image_mean": 127.5, "image_std": 51}, [0.5] * 3, [0.2] * 3),
    ],
)
def test_normalisation_follows_the_preprocessor(folder, preprocessor, mean, std):
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    model = HuggingFaceSegmenter.load(folder, CPU)
    assert model._mean.flatten().tolist() == pytest.approx(mean)
    assert model._std.flatten().tolist() == pytest.approx(std)


def test_loading_and_saving_print_nothing(folder, tmp_path, capfd):
    HuggingFaceSegmenter.load(folder, CPU).save(tmp_path / "again")
    assert capfd.readouterr() == ("", "")


def test_saving_writes_a_folder_that_loads_to_the_same_network(folder, tmp_path):
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": 0.1}))
    model = HuggingFaceSegmenter.load(folder, CPU)
    model.module.decode_head.batch_norm.running_mean.fill_(3.0)
    model.save(tmp_path / "again")
    again = HuggingFaceSegmenter.load(tmp_path / "again", CPU)
    assert again.ontology == model.ontology
    images = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        assert torch.equal(again.forward(images).logits, model.forward(images).logits)


def test_shards_are_read(folder):
    weights = load_file(folder / "model.safetensors")
    before = HuggingFaceSegmenter.load(folder, CPU)
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    weight_map = {}
    for number, part in enumerate((names[:20], names[20:])):
        save_file({name: weights[name] for name in part}, folder / f"part-{number}.safetensors")
        weight_map.update(dict.fromkeys(part, f"part-{number}.safetensors"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    images = torch.rand(1, 3, 40, 40)
    with torch.inference_mode():
        after = HuggingFaceSegmenter.load(folder, CPU)
        assert torch.equal(after.forward(images).logits, before.forward(images).logits)
    index.write_text(json.dumps({"weight_map": {"a": "../model/part-0.safetensors"}}))
    with pytest.raises(ModelRefused, match="no file of the folder"):
        HuggingFaceSegmenter.load(folder, CPU)


def test_names_that_occur_twice_are_told_apart(folder):
    change(folder, id2label={"0": "a", "1": "b", "2": "a", "3": "", "4": "c"})
    model = HuggingFaceSegmenter.load(folder, CPU)
    assert [c.name for c in model.ontology.classes] == ["a", "b", "a (2)", "class 3", "c"]


MANY = {str(i): f"class {i}" for i in range(256)}
GAP = {"0": "a", "1": "b", "2": "c", "3": "d", "5": "e"}


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ({"auto_map": {"AutoModel": "code.Model"}}, "model-has-code", "Python code"),
        ({"trust_remote_code": True}, "model-has-code", "code of the repository"),
        ({"backbone_config": {"auto_map": {}}}, "model-has-code", "auto_map"),
        ({"attn_implementation": "someone/kernel"}, "model-has-code", "attention kernel"),
        ({"transformers_weights": "other.bin"}, "model-has-code", "another file"),
        ({"quantization_config": {"a": 1}}, "model-has-code", "quantised"),
        ({"model_type": "mask2former"}, "model-not-supported", "mask2former"),
        ({"architectures": ["SegformerModel"]}, "model-not-supported", "SegformerModel"),
        ({"id2label": MANY}, "too-many-classes", "256 classes"),
        ({"id2label": None, "num_labels": 300}, "too-many-classes", "300 classes"),
        ({"id2label": GAP}, "model-classes-mismatch", "0, 1, 2"),
        ({"hidden_sizes": [16, 8, 16, 16]}, "model-unreadable", "cannot be built"),
        ({"hidden_sizes": "many"}, "model-unreadable", "cannot be built"),
        ({"depths": [2, 1, 1, 1]}, "model-unreadable", "lack 22 tensors"),
    ],
)
def test_refused_configurations(folder, values, code, reason):
    change(folder, **values)
    with pytest.raises(ModelRefused, match=reason) as caught:
        HuggingFaceSegmenter.load(folder, CPU)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "backbone", [None, {"model_type": "timm_backbone"}, {"model_type": "maskformer-swin"}]
)
def test_upernet_with_another_backbone_is_refused(folder, backbone):
    values = {"model_type": "upernet", "architectures": ["UperNetForSemanticSegmentation"]}
    change(folder, **values, backbone="resnet50", backbone_config=backbone)
    with pytest.raises(ModelRefused, match="`backbone_config` of type convnext"):
        HuggingFaceSegmenter.load(folder, CPU)


def test_a_folder_with_code_is_refused(folder):
    (folder / "modeling_mine.py").write_text("raise SystemExit")
    with pytest.raises(ModelRefused, match=r"modeling_mine\.py") as caught:
        HuggingFaceSegmenter.load(folder, CPU)
    assert caught.value.code == "model-has-code"


def test_pickled_weights_are_refused_with_the_way_out(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="selvage models convert") as caught:
        HuggingFaceSegmenter.load(folder, CPU)
    assert caught.value.code == "model-is-pickle"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "is not a JSON object"),
        ("model.safetensors", "rubbish", "model.safetensors cannot be read"),
        ("preprocessor_config.json", '{"image_mean": [1, 2]}', "not three numbers"),
        ("preprocessor_config.json", '{"image_mean": "x"}', "not three numbers"),
        ("preprocessor_config.json", '{"image_std": 0}', "no usable"),
    ],
)
def test_damaged_files_are_refused(folder, name, content, reason):
    (folder / name).write_text(content)
    with pytest.raises(ModelRefused, match=reason) as caught:
        HuggingFaceSegmenter.load(folder, CPU)
    assert caught.value.code == "model-unreadable"


def test_missing_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelRefused, match=r"no model\.safetensors"):
        HuggingFaceSegmenter.load(folder, CPU)
