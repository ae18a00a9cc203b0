import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.digest import file_sha256
from models.errors import ModelRefused
from models.promptable.base import Prompts, ProposalConfig
from models.promptable.folder import load_region_model, write_region_model
from models.promptable.sam import SamRegionModel
from tests.models.promptable.tiny import TINY, picture, tiny_sam

JSON, WEIGHTS = "region_model.json", "region_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_region_model(tmp_path, tiny_sam(), TINY, {"made by": "a test"})
    return tmp_path


def change(folder: Path, **values: Any) -> None:
    content = json.loads((folder / JSON).read_text())
    (folder / JSON).write_text(json.dumps({**content, **values}))


def change_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights with the digest that belongs to them."""
    save_file(weights, folder / WEIGHTS)
    change(folder, files={WEIGHTS: file_sha256(folder / WEIGHTS)})


def refused(folder: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        load_region_model(folder)
    assert caught.value.code == "region-model-unreadable"
    return caught.value.reason


def test_a_model_answers_as_before_it_was_written(folder):
    image = picture(3, (50, 70))
    prompts = Prompts(boxes_xyxy=np.array([[5, 5, 40, 30]], np.float32))
    written = SamRegionModel(tiny_sam(), TINY, "digest", "cpu")
    read = load_region_model(folder)
    torch.testing.assert_close(
        read.encode(image).features, written.encode(image).features, atol=0, rtol=0
    )
    masks = [model.masks(model.encode(image), prompts) for model in (read, written)]
    np.testing.assert_array_equal(masks[0].rles[0].counts, masks[1].rles[0].counts)
    assert read.architecture == TINY


def test_weights_may_be_stored_in_half_the_size(folder, tmp_path):
    half = tmp_path / "half"
    write_region_model(half, tiny_sam(), TINY, {}, dtype=torch.float16)
    assert (half / WEIGHTS).stat().st_size < 0.65 * (folder / WEIGHTS).stat().st_size
    model = load_region_model(half)
    assert {p.dtype for p in model.sam.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.sam.parameters())


def test_the_digest_depends_on_weights_and_architecture_alone(folder, tmp_path):
    first = load_region_model(folder).digest
    change(folder, provenance={"made by": "another test"})
    assert load_region_model(folder).digest == first
    other = tmp_path / "other"
    write_region_model(other, tiny_sam(1), TINY, {})
    assert load_region_model(other).digest != first


@pytest.mark.parametrize("name", [JSON, WEIGHTS])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_truncated_files(folder, name, share):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: int(share * len(data))])
    refused(folder)


@pytest.mark.parametrize("name", [JSON, WEIGHTS])
def test_missing_files(folder, name):
    (folder / name).unlink()
    refused(folder)


def test_truncated_weights_with_a_digest_that_fits(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-10])
    change(folder, files={WEIGHTS: file_sha256(folder / WEIGHTS)})
    assert "cannot be read" in refused(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "selvage-bundle"},
        {"format_version": 2},
        {"architecture": None},
        {"files": {}},
        {"files": {WEIGHTS: "0" * 64}},
        {"files": {"../region_model.safetensors": "0" * 64}},
    ],
)
def test_foreign_descriptions(folder, values):
    change(folder, **values)
    refused(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"encoder_dim": 64},
        {"image_px": 128},
        {"prompt_dim": 64},
        {"encoder_depth": 1},
        {"encoder_depth": 3},
        # What costs time or memory before anything is seen to be wrong.
        {"encoder_depth": 10**9},
        {"decoder_depth": 10**9},
        {"decoder_mlp_dim": 10**12},
        {"image_px": 8 * 10**9},
        {"patch_px": 0},
        {"encoder_heads": 0},
        {"decoder_heads": 5},
        {"mlp_ratio": 1e400},
        {"mlp_ratio": "wide"},
        {"global_attention": "all"},
        {"surprise": 1},
    ],
)
def test_architectures_that_the_weights_do_not_have(folder, values):
    change(folder, architecture={**TINY.to_dict(), **values})
    refused(folder)


def test_weights_of_something_else(folder):
    change_weights(folder, {"weight": torch.zeros(3)})
    refused(folder)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite(folder, value):
    weights = load_file(folder / WEIGHTS)
    weights["mask_decoder.mask_tokens.weight"][0, 0] = value
    change_weights(folder, weights)
    assert "not finite" in refused(folder)


class TestProposalDefaults:
    def test_they_are_the_packages_unless_the_folder_says_otherwise(self, folder, tmp_path):
        assert load_region_model(folder).proposal_defaults == ProposalConfig()
        own = ProposalConfig("exact", 12, 0.5, 0.75)
        write_region_model(tmp_path / "own", tiny_sam(), TINY, {}, proposals=own)
        read = load_region_model(tmp_path / "own")
        assert read.proposal_defaults == own
        assert read.digest != load_region_model(folder).digest

    @pytest.mark.parametrize(
        "proposals",
        [
            "fast",
            {"mode": "fast"},
            {**asdict(ProposalConfig()), "mode": "slow"},
            {**asdict(ProposalConfig()), "points_per_side": 10_000},
            {**asdict(ProposalConfig()), "least_iou": "0.5"},
            {**asdict(ProposalConfig()), "more": 1},
        ],
    )
    def test_nonsense_is_refused(self, folder, proposals):
        change(folder, proposals=proposals)
        assert refused(folder) == f"{JSON} describes no proposals."
