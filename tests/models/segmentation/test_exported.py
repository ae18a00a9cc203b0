import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.config import PredictConfig
from models.digest import file_sha256
from models.errors import ConfigError, ModelOutputInvalid, ModelRefused, OutOfMemory
from models.prediction import Predictor
from models.segmentation.exported import ExportedSegmenter, ProgramInput, write_exported_model
from models.segmentation.program_files import file_kind, pickle_free_archive
from tests.models.fakes import TinyNet, names

# TorchScript is deprecated in torch 2.13; its files are taken all the same.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

CPU = torch.device("cpu")


class WithFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = TinyNet()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(images), self.net.conv(images)


def tiny_net() -> nn.Module:
    torch.manual_seed(0)
    return TinyNet().eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two TorchScript files, and exports of any size, of 1 x 3 x 40 x 48, and with features."""
    folder = tmp_path_factory.mktemp("files")
    jit: Any = torch.jit
    jit.script(tiny_net()).save(folder / "script.pt")
    jit.trace(tiny_net(), torch.rand(1, 3, 40, 48)).save(folder / "traced.pt")
    example = (torch.rand(2, 3, 40, 48),)
    free = {"images": {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}}
    single = (example[0][:1],)
    for name, module, shapes in (
        ("free", tiny_net(), free),
        ("fixed", tiny_net(), None),
        ("pair", WithFeatures().eval(), free),
    ):
        program = torch.export.export(module, single, dynamic_shapes=shapes)
        torch.export.save(program, folder / f"{name}.pt2")
    torch.save(tiny_net().state_dict(), folder / "weights.pth")
    torch.save({"a": 1}, folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder


def load(file: Path, target: Path, **program_input: Any) -> ExportedSegmenter:
    write_exported_model(target, file, names(3), ProgramInput(**program_input))
    return ExportedSegmenter.load(target, CPU)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("script.pt", "torchscript"),
        ("traced.pt", "torchscript"),
        ("free.pt2", "torch_export"),
        ("weights.pth", "pickle"),
        ("old.pth", "pickle"),
    ],
)
def test_kinds_of_files(files, name, kind):
    assert file_kind(files / name) == kind


def test_other_files_are_unknown(tmp_path):
    (tmp_path / "a").write_text("text")
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        archive.writestr("b/readme.txt", "hello")
    assert file_kind(tmp_path / "a") == file_kind(tmp_path / "b") == "unknown"


@pytest.mark.parametrize("name", ["script.pt", "traced.pt", "free.pt2"])
def test_the_program_gives_what_the_network_gives(files, name, tmp_path):
    model = load(files / name, tmp_path / "model")
    assert model.ontology == names(3)
    for size_hw in [(1, 1), (40, 48), (13, 90)]:
        images = torch.rand(2, 3, *size_hw)
        with torch.inference_mode():
            output = model.forward(images)
            torch.testing.assert_close(output.logits, tiny_net()(images))
        assert output.features is None
        assert output.covers_hw_px == size_hw


def test_normalisation_and_features(files, tmp_path):
    model = load(files / "pair.pt2", tmp_path / "model", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
    images = torch.rand(1, 3, 8, 9)
    shift = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    scale = torch.tensor([0.2, 0.25, 0.5]).view(1, 3, 1, 1)
    with torch.inference_mode():
        output = model.forward(images)
        logits, features = WithFeatures().eval()((images - shift) / scale)
    torch.testing.assert_close(output.logits, logits)
    torch.testing.assert_close(output.features, features)


def test_a_program_that_wants_multiples_gets_padded_images(files, tmp_path):
    model = load(files / "free.pt2", tmp_path / "model", size_multiple_px=16)
    with torch.inference_mode():
        output = model.forward(torch.rand(1, 3, 17, 16))
    assert output.logits.shape == (1, 3, 32, 16)
    assert output.covers_hw_px == (32, 16)


class Recorder:
    """Stands in for a program of 40 x 48: the score of class 1 is the red channel."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, images: Tensor) -> Tensor:
        self.shapes.add(tuple(images.shape))
        red = images[:, :1] * 20 - 10
        return torch.cat([torch.zeros_like(red), red, torch.full_like(red, -99.0)], dim=1)


@pytest.mark.parametrize("size_hw", [(1, 1), (40, 48), (41, 48), (30, 200), (100, 130)])
def test_a_fixed_size_means_windows_of_that_size_and_padding(size_hw):
    program = Recorder()
    model = ExportedSegmenter(program, names(3), ProgramInput(fixed_size_hw=(40, 48)), CPU)
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    ((_, prediction),) = Predictor(model, PredictConfig(batch_size=4)).predict([image])
    assert program.shapes == {(1, 3, 40, 48)}
    assert (prediction.label == (image[..., 0] > 127)).all()
    assert prediction.window_px == 48


def test_a_fixed_size_allows_no_larger_scale_and_no_smaller_window():
    model = ExportedSegmenter(Recorder(), names(3), ProgramInput(fixed_size_hw=(40, 48)), CPU)
    with pytest.raises(ConfigError, match="no scale above 1"):
        Predictor(model, PredictConfig(scales=(1.0, 1.5)))

    def greedy(_: Tensor) -> Tensor:
        raise MemoryError

    model = ExportedSegmenter(greedy, names(3), ProgramInput(fixed_size_hw=(400, 480)), CPU)
    with pytest.raises(OutOfMemory, match="480 px"):
        list(Predictor(model, PredictConfig()).predict([np.zeros((500, 500, 3), np.uint8)]))


@pytest.mark.parametrize("output", [{"out": 1}, (torch.zeros(1), "x"), (), 3])
def test_other_outputs_are_refused(output):
    model = ExportedSegmenter(lambda _: output, names(3), ProgramInput(), CPU)
    with pytest.raises(ModelOutputInvalid, match="logits or"):
        model.forward(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("name", ["script.pt", "traced.pt", "free.pt2", "fixed.pt2"])
def test_loading_unpickles_nothing_in_python(files, name, tmp_path, monkeypatch):
    write_exported_model(tmp_path / "model", files / name, names(3))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something is unpickled")

    for function in ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, function, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("torch._weights_only_unpickler.Unpickler", refuse)
    ExportedSegmenter.load(tmp_path / "model", CPU)


def test_plain_loading_of_an_export_does_unpickle(files, monkeypatch):
    """If this fails, torch has changed, and `pickle_free_archive` may have become needless."""
    called = []
    real = torch.load

    def recorded(*arguments: Any, **options: Any) -> Any:
        called.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(torch, "load", recorded)
    torch.export.load(files / "free.pt2")
    assert called == [{"weights_only": True}]


def rewritten(file: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of an archive with entries (named without their root) replaced, added or dropped."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w") as copy:
        root = source.namelist()[0].partition("/")[0]
        for name in source.namelist():
            if name.partition("/")[2] not in changes:
                copy.writestr(name, source.read(name))
        for inner, content in changes.items():
            if content is not None:
                copy.writestr(f"{root}/{inner}", content)
    return target


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('the pickle was run')",)


def test_a_bomb_in_the_sample_inputs_is_not_carried_along(files, tmp_path):
    bomb = rewritten(
        files / "free.pt2",
        tmp_path / "bomb.pt2",
        {"data/sample_inputs/model.pt": pickle.dumps(Bomb())},
    )
    load(bomb, tmp_path / "model").forward(torch.zeros(1, 3, 8, 8))
    stored = (tmp_path / "model" / "model.pt2").read_bytes()
    assert b"the pickle was run" not in stored
    assert stored == pickle_free_archive(bomb).getvalue()


def pickled_entry(path_name: str, use_pickle: bool) -> bytes:
    entry = {"path_name": path_name, "is_param": False, "use_pickle": use_pickle}
    return json.dumps({"config": {"extra": {**entry, "tensor_meta": None}}}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"data/constants/model_constants_config.json": pickled_entry("tensor_0", True)},
        {"data/constants/model_constants_config.json": pickled_entry("opaque_obj_0", False)},
        {"data/constants/model_constants_config.json": pickled_entry("custom_obj_0", False)},
        {"data/weights/model_weights_config.json": pickled_entry("weight_0", True)},
        {"data/weights/model.pt": pickle.dumps(Bomb())},
        {"data/constants/model.pt": pickle.dumps(Bomb())},
        {"data/aotinductor/model/code.so": b"\x7fELF"},
        {"serialized_state_dict.pt": pickle.dumps(Bomb())},
    ],
)
def test_exports_with_pickles_or_compiled_code_are_refused(files, tmp_path, changes):
    bomb = rewritten(files / "free.pt2", tmp_path / "bomb.pt2", changes)
    with pytest.raises(ModelRefused) as caught:
        write_exported_model(tmp_path / "model", bomb, names(3))
    assert caught.value.code == "model-has-code"
    # The same file put into a folder by other means is refused when it is loaded.
    write_exported_model(tmp_path / "model", files / "free.pt2", names(3))
    (tmp_path / "model" / "model.pt2").write_bytes(bomb.read_bytes())
    change_manifest(tmp_path / "model", sha256=file_sha256(bomb))
    with pytest.raises(ModelRefused) as caught:
        ExportedSegmenter.load(tmp_path / "model", CPU)
    assert caught.value.code == "model-has-code"


def change_manifest(folder: Path, **values: Any) -> None:
    path = folder / "selvage-model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("damage", [{"models/model.json": b"{"}, {"models/model.json": None}])
def test_damaged_exports_are_refused(files, tmp_path, damage):
    damaged = rewritten(files / "free.pt2", tmp_path / "damaged.pt2", damage)
    write_exported_model(tmp_path / "model", damaged, names(3))
    with pytest.raises(ModelRefused, match="cannot be read") as caught:
        ExportedSegmenter.load(tmp_path / "model", CPU)
    assert caught.value.code == "model-unreadable"


def test_a_broken_list_of_weights_is_refused(files, tmp_path):
    for content in (b"[]", b"{", b'{"config": [1]}'):
        changes: dict[str, bytes | None] = {"data/weights/model_weights_config.json": content}
        broken = rewritten(files / "free.pt2", tmp_path / "broken.pt2", changes)
        with pytest.raises(ModelRefused, match="is damaged"):
            pickle_free_archive(broken)


def test_a_damaged_script_is_refused(files, tmp_path):
    damaged = rewritten(files / "script.pt", tmp_path / "damaged.pt", {"data.pkl": b"\x80"})
    write_exported_model(tmp_path / "model", damaged, names(3))
    with pytest.raises(ModelRefused, match="cannot be read"):
        ExportedSegmenter.load(tmp_path / "model", CPU)


MANY = {"classes": [{"name": str(i)} for i in range(256)]}


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ({"format_version": 2}, "model-unreadable", "format version 1"),
        ({"kind": "onnx"}, "model-unreadable", "'onnx'"),
        ({"file": "../model/model.pt"}, "model-unreadable", "not there"),
        ({"file": None}, "model-unreadable", "not there"),
        ({"sha256": "0"}, "model-unreadable", "is damaged"),
        ({"ontology": {"classes": [{}]}}, "model-unreadable", "ontology is not valid"),
        ({"ontology": MANY}, "too-many-classes", "has 256"),
        ({"normalisation": {"std": [0, 0, 0]}}, "model-unreadable", "positive deviations"),
        ({"normalisation": [1]}, "model-unreadable", "is not valid"),
        ({"fixed_size_hw": [1, 2, 3]}, "model-unreadable", "positive integer"),
        ({"fixed_size_hw": 7}, "model-unreadable", "is not valid"),
        ({"size_multiple_px": 0}, "model-unreadable", "positive integer"),
    ],
)
def test_bad_manifests_are_refused(files, tmp_path, values, code, reason):
    write_exported_model(tmp_path, files / "script.pt", names(3))
    change_manifest(tmp_path, **values)
    with pytest.raises(ModelRefused, match=reason) as caught:
        ExportedSegmenter.load(tmp_path, CPU)
    assert caught.value.code == code


def test_normalisation_may_be_null(files, tmp_path):
    write_exported_model(tmp_path, files / "script.pt", names(3))
    change_manifest(tmp_path, normalisation=None)
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        output = ExportedSegmenter.load(tmp_path, CPU).forward(images)
        torch.testing.assert_close(output.logits, tiny_net()(images))


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("weights.pth", "model-is-pickle", "selvage models convert weights.pth"),
        ("old.pth", "model-is-pickle", "can run any code"),
    ],
)
def test_pickles_are_refused(files, tmp_path, name, code, reason):
    with pytest.raises(ModelRefused, match=reason) as caught:
        write_exported_model(tmp_path, files / name, names(3))
    assert caught.value.code == code


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_text("x")
    with pytest.raises(ModelRefused, match="neither a TorchScript nor"):
        write_exported_model(tmp_path / "model", tmp_path / "a.onnx", names(3))
