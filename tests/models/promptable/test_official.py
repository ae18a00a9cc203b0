import pickle
from pathlib import Path

import pytest
import torch

from models.digest import file_sha256
from models.errors import ModelRefused
from models.promptable.folder import load_region_model
from models.promptable.official import convert_official
from models.region_models import read_region_model_json
from tests.models.promptable.tiny import TINY, picture, tiny_model, tiny_sam

KNOWN = {"sam_tiny": TINY}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "sam_tiny.pth"
    torch.save(tiny_sam().state_dict(), path)
    return path


def refused(name: str, source: Path, folder: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        convert_official(name, source, folder, KNOWN)
    assert caught.value.code == "region-model-unreadable"
    assert not folder.exists()
    return caught.value.reason


def test_a_checkpoint_becomes_a_region_model(checkpoint, tmp_path):
    convert_official("sam_tiny", checkpoint, tmp_path / "model", KNOWN)
    image = picture(0, (30, 40))
    converted = load_region_model(tmp_path / "model")
    torch.testing.assert_close(
        converted.encode(image).features, tiny_model().encode(image).features, atol=0, rtol=0
    )
    assert read_region_model_json(tmp_path / "model")["provenance"] == {
        "converted_from": "sam_tiny",
        "checkpoint_sha256": file_sha256(checkpoint),
    }


def test_unknown_names(checkpoint, tmp_path):
    assert "sam_tiny" in refused("sam_vit_x", checkpoint, tmp_path / "model")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_checkpoints(checkpoint, tmp_path, share):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(share * len(data))])
    refused("sam_tiny", checkpoint, tmp_path / "model")


def test_checkpoints_that_are_not_there(tmp_path):
    refused("sam_tiny", tmp_path / "nothing.pth", tmp_path / "model")


@pytest.mark.parametrize(
    "content",
    [{"weight": torch.zeros(2)}, [torch.zeros(2)], {"model": {"weight": torch.zeros(2)}}, 7],
)
def test_foreign_checkpoints(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    refused("sam_tiny", tmp_path / "other.pth", tmp_path / "model")


def test_another_size_of_the_same_network(checkpoint, tmp_path):
    weights = torch.load(checkpoint, weights_only=True)
    weights["image_encoder.pos_embed"] = torch.zeros(1, 16, 16, 32)
    torch.save(weights, checkpoint)
    assert "pos_embed" in refused("sam_tiny", checkpoint, tmp_path / "model")


class Harmful:
    ran: bool = False

    def __reduce__(self):
        return setattr, (Harmful, "ran", True)


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_code_in_a_checkpoint_is_not_run(tmp_path, write):
    write(Harmful(), tmp_path / "harmful.pth")
    refused("sam_tiny", tmp_path / "harmful.pth", tmp_path / "model")
    assert not Harmful.ran
