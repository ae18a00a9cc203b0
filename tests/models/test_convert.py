import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.convert import convert, main, read_classes
from models.errors import ModelRefused
from models.segmentation.compact import CompactSegmenter
from models.segmentation.exported import ProgramInput, read_manifest
from models.segmentation.loading import load_model
from tests.models.fakes import TinyNet, names
from tests.models.tiny_huggingface import tiny

IMAGES = torch.rand(1, 3, 33, 40, generator=torch.Generator().manual_seed(1))


def compact() -> CompactSegmenter:
    torch.manual_seed(0)
    return CompactSegmenter(3, width=6, feature_channels=8).eval()


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_the_compact_segmenter_becomes_a_bundle(tmp_path, wrap, prefix):
    weights = {prefix + name: tensor for name, tensor in compact().state_dict().items()}
    content = weights if wrap is None else {wrap: weights, "epoch": 3}
    torch.save(content, tmp_path / "last.pth")
    facts = convert(tmp_path / "last.pth", tmp_path / "out", names(3))
    assert (facts["kind"], facts["classes"]) == ("bundle", 3)
    model = load_model(tmp_path / "out", "cpu")
    with torch.inference_mode():
        assert torch.equal(model.forward(IMAGES).logits, compact()(IMAGES).logits)


@pytest.mark.parametrize("architecture", ["segformer", "resnet"])
def test_a_folder_of_pickled_weights_becomes_one_of_safetensors(tmp_path, architecture):
    source = tmp_path / "in"
    network = tiny(architecture)
    network.save_pretrained(source)
    (source / "preprocessor_config.json").write_text('{"do_normalize": false}')
    (source / "model.safetensors").unlink()
    torch.save(network.state_dict(), source / "pytorch_model.bin")
    facts = convert(source, tmp_path / "out")
    assert (facts["kind"], facts["classes"]) == ("huggingface", 5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    model = load_model(tmp_path / "out", "cpu")
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        logits = nn.functional.interpolate(
            model.forward(images).logits, size=network(images).logits.shape[2:], mode="bilinear"
        )
        torch.testing.assert_close(logits, network(images).logits, atol=1e-6, rtol=0)


def test_an_exported_program_gets_a_folder(tmp_path):
    program = torch.export.export(TinyNet().eval(), (torch.rand(1, 3, 40, 48),))
    torch.export.save(program, tmp_path / "net.pt2")
    facts = convert(
        tmp_path / "net.pt2", tmp_path / "out", names(3), ProgramInput(fixed_size_hw=(40, 48))
    )
    assert (facts["kind"], facts["parameters"]) == ("torch_export", None)
    assert read_manifest(tmp_path / "out")["fixed_size_hw"] == [40, 48]


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('the pickle was run')",)


def save_bomb(path: Path) -> None:
    torch.save({"state_dict": compact().state_dict(), "callback": Bomb()}, path)


def save_old_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": Bomb()}))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("save", [save_bomb, save_old_bomb])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save):
    save(tmp_path / "bomb.pth")
    with pytest.raises(ModelRefused, match="Save the weights alone") as caught:
        convert(tmp_path / "bomb.pth", tmp_path / "out", names(3))
    assert caught.value.code == "model-has-code"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"other.weight": torch.zeros(2)}, "model-not-supported"),
        (
            {"classify.weight": torch.zeros(3), "stem.0.weight": torch.zeros(6)},
            "model-not-supported",
        ),
        ({"a": "text"}, "model-not-supported"),
        ([torch.zeros(2)], "model-not-supported"),
    ],
)
def test_weights_of_other_networks_are_refused(tmp_path, content, code):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelRefused) as caught:
        convert(tmp_path / "a.pth", tmp_path / "out", names(3))
    assert caught.value.code == code


def test_other_mistakes_are_named(tmp_path):
    torch.save(compact().state_dict(), tmp_path / "a.pth")
    (tmp_path / "broken.pth").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for source, ontology, code in (
        ("a.pth", None, "model-classes-missing"),
        ("a.pth", names(4), "model-classes-mismatch"),
        ("broken.pth", names(3), "model-unreadable"),
        ("folder", None, "model-unreadable"),
    ):
        with pytest.raises(ModelRefused) as caught:
            convert(tmp_path / source, tmp_path / "out", ontology)
        assert caught.value.code == code
    with pytest.raises(FileExistsError, match="is not empty"):
        convert(tmp_path / "a.pth", tmp_path, names(3))


def test_classes_may_be_names_or_an_ontology(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text('["class 0", "class 1"]')
    assert [c.name for c in read_classes(path).classes] == ["class 0", "class 1"]
    path.write_text(json.dumps({**names(3).to_dict(), "stored_ignore_value": 11}))
    assert read_classes(path) == names(3)


def test_the_command(tmp_path, capsys):
    torch.save(compact().state_dict(), tmp_path / "a.pth")
    (tmp_path / "classes.json").write_text('["a", "b", "c"]')
    source, target = str(tmp_path / "a.pth"), str(tmp_path / "out")
    assert main([source, target]) == 1
    assert "--classes classes.json" in capsys.readouterr().err
    assert main([source, target, "--classes", str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err
    assert main([source, target, "--classes", str(tmp_path / "classes.json")]) == 0
    assert capsys.readouterr().out == f"{target}: bundle with 3 classes\n"


def test_the_command_runs_in_a_process_of_its_own(tmp_path):
    save_bomb(tmp_path / "bomb.pth")
    (tmp_path / "classes.json").write_text('["a", "b", "c"]')
    command = [sys.executable, "-m", "models.convert", "bomb.pth", "out"]
    done = subprocess.run(
        [*command, "--classes", "classes.json"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("not converted: bomb.pth is no pickle of plain tensors")
