import pytest

from models.errors import ModelRefused
from models.promptable.builtin import BUILT_IN, built_in_digest, load_built_in
from models.promptable.folder import write_region_model
from tests.models.promptable.tiny import TINY, tiny_sam


def test_nano_comes_from_its_folder(tmp_path, monkeypatch):
    write_region_model(tmp_path, tiny_sam(), TINY, {})
    monkeypatch.setattr("models.region_models.NANO_FOLDER", tmp_path)
    model = load_built_in("nano")
    assert model.kind == "sam"
    assert model.digest == built_in_digest("nano")


def test_without_its_weights_nano_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("models.region_models.NANO_FOLDER", tmp_path / "nothing")
    with pytest.raises(ModelRefused, match="benchmarks.region_model train") as caught:
        load_built_in("nano")
    assert caught.value.code == "region-model-missing"


def test_other_names_are_not_built_in():
    assert BUILT_IN == ("nano", "graph")
    with pytest.raises(ModelRefused, match="'huge'"):
        load_built_in("huge")
