import json
from dataclasses import replace

import pytest
import torch

from benchmarks.region_model import export
from benchmarks.region_model.export import export_nano, read_checkpoint
from benchmarks.region_model.training import TrainingConfig, train_region_model
from benchmarks.scenes import GENERATOR_VERSION
from models.promptable.folder import load_region_model
from tests.benchmarks.region_model.tiny import ARCHITECTURE, random_sam, tiny_sources

CONFIG = TrainingConfig(steps=2, seed=1, batch_size=1, checkpoint_every_steps=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "nano.ckpt"
    train_region_model(tiny_sources(2), ARCHITECTURE, CONFIG, path, progress=False)
    return path


def test_average_of_the_checkpoint_becomes_a_region_model_in_float16(checkpoint, tmp_path):
    average = torch.load(checkpoint, weights_only=True)["average"]
    model = load_region_model(export_nano(checkpoint, tmp_path / "nano"))
    assert model.architecture == ARCHITECTURE
    for name, value in model.sam.state_dict().items():
        torch.testing.assert_close(value, average[name], atol=1e-6, rtol=1e-3)
    document = json.loads((tmp_path / "nano" / "region_model.json").read_text())
    assert document["provenance"] == {
        "trained_by": "python -m benchmarks.region_model train",
        "style": "day",
        "generator_version": GENERATOR_VERSION,
        "steps": 2,
        "planned_steps": 2,
        "seed": 1,
        "batch_size": 1,
        "learning_rate": CONFIG.learning_rate,
        "decoder_factor": CONFIG.decoder_factor,
        "hint_steps": 1000,
        "checkpoint_every_steps": 1,
        "scenes": 2,
        "fine_tuned": False,
        "initial": None,
        "torch": torch.__version__,
    }


def test_checkpoint_tells_how_far_it_is(checkpoint):
    trained = read_checkpoint(checkpoint)
    assert trained.step == 2
    assert trained.architecture == ARCHITECTURE
    assert not trained.sam.training


def test_weights_that_are_too_large_are_not_written(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match="MB"):
        export_nano(checkpoint, tmp_path / "nano")
    assert not (tmp_path / "nano").exists()


def test_fine_tuned_weights_are_not_those_of_generated_scenes(tmp_path):
    path = tmp_path / "tuned.ckpt"
    config = replace(CONFIG, steps=1)
    start = random_sam().state_dict()
    train_region_model(
        tiny_sources(1), ARCHITECTURE, config, path, start, progress=False, fine_tuned=True
    )
    with pytest.raises(ValueError, match="generated scenes"):
        export_nano(path, tmp_path / "nano")
