import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.bundle import read_bundle, write_bundle
from models.errors import ModelRefused
from models.segmentation.compact import CompactSegmenter
from tests.models.fakes import names


@pytest.fixture
def module():
    torch.manual_seed(0)
    return CompactSegmenter(3, width=6, feature_channels=8).eval()


@pytest.fixture
def folder(tmp_path, module):
    write_bundle(tmp_path / "bundle", module, names(3), {"trained_on": "scenes"})
    return tmp_path / "bundle"


def change(folder: Path, **values: Any) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_bundle_gives_back_the_same_network(folder, module):
    bundle = read_bundle(folder)
    assert bundle.ontology == names(3)
    assert bundle.provenance == {"trained_on": "scenes"}
    assert not bundle.module.training
    images = torch.rand(1, 3, 20, 30)
    assert torch.equal(bundle.module(images).logits, module(images).logits)


def test_half_precision_is_about_half_the_size_and_computes_in_float32(folder, module):
    half = folder.parent / "half"
    write_bundle(half, module, names(3), {}, dtype=torch.float16)
    name = "segmenter.safetensors"
    assert (half / name).stat().st_size < 0.7 * (folder / name).stat().st_size
    bundle = read_bundle(half)
    assert {p.dtype for p in bundle.module.parameters()} == {torch.float32}
    images = torch.rand(1, 3, 20, 30)
    torch.testing.assert_close(
        bundle.module(images).logits, module(images).logits, atol=2e-2, rtol=0
    )


def test_the_same_network_gives_the_same_files(folder, module):
    write_bundle(folder.parent / "again", module, names(3), {"trained_on": "scenes"})
    for name in ("bundle.json", "segmenter.safetensors"):
        assert (folder / name).read_bytes() == (folder.parent / "again" / name).read_bytes()


def test_a_bundle_with_other_classes_is_not_written(tmp_path, module):
    with pytest.raises(ValueError, match="the module has 3 classes, the ontology 4"):
        write_bundle(tmp_path, module, names(4), {})


OTHER = names(4).to_dict()
MANY = {"name": "many", "classes": [{"name": str(i)} for i in range(256)]}


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ({"kind": "other"}, "model-unreadable", "not of kind"),
        ({"format_version": 2}, "model-unreadable", "format version 2"),
        ({"ontology": None}, "model-unreadable", "no object 'ontology'"),
        ({"ontology": {"classes": []}}, "model-unreadable", "not valid"),
        ({"ontology": OTHER}, "model-classes-mismatch", "3 classes, the ontology 4"),
        ({"ontology": MANY}, "too-many-classes", "256 classes"),
        ({"files": {}}, "model-unreadable", "does not list"),
        ({"files": {"segmenter.safetensors": "0"}}, "model-unreadable", "is damaged"),
        ({"architecture": {"name": "huge", "config": {}}}, "model-unreadable", "'huge'"),
        (
            {"architecture": {"name": "compact", "config": {"depth": 3}}},
            "model-unreadable",
            "cannot be built",
        ),
        (
            {"architecture": {"name": "compact", "config": {"num_classes": 3, "width": 12}}},
            "model-unreadable",
            "does not fit the architecture",
        ),
    ],
)
def test_refused(folder, values, code, reason):
    change(folder, **values)
    with pytest.raises(ModelRefused, match=reason) as caught:
        read_bundle(folder)
    assert caught.value.code == code


def test_a_file_outside_the_folder_is_not_read(folder):
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change(folder, files={**files, "../bundle/bundle.json": "0"})
    with pytest.raises(ModelRefused, match="is not there"):
        read_bundle(folder)


def test_broken_json(folder):
    (folder / "bundle.json").write_text("{")
    with pytest.raises(ModelRefused, match="cannot be read"):
        read_bundle(folder)
