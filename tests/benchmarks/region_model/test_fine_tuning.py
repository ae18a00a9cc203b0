import json
import shutil

import numpy as np
import pytest
import torch

from benchmarks.region_model.fine_tuning import fine_tune
from benchmarks.region_model.sources import FolderSources, SceneSources, labelled_part
from benchmarks.region_model.training import TrainingConfig, weights_digest
from benchmarks.scenes import generate_scene
from models.promptable.folder import load_region_model
from tests.benchmarks.quality.tiny_data import write_data
from tests.benchmarks.region_model.tiny import ARCHITECTURE, random_sam

CONFIG = TrainingConfig(steps=2, batch_size=1, learning_rate=1e-9, checkpoint_every_steps=1)


@pytest.fixture
def data(tmp_path):
    """A data set without the part that training must not open."""
    folder = write_data(tmp_path / "data")
    shutil.rmtree(folder / "target")
    return folder


def test_region_model_of_a_source_starts_from_the_given_weights(data, tmp_path):
    given = random_sam(4)
    source = labelled_part(data, "source")
    out, cache = tmp_path / "out", tmp_path / "cache"
    initial = given, ARCHITECTURE
    assert fine_tune(source, initial, CONFIG, out, cache=cache, progress=False) == out
    tuned = load_region_model(out).sam.state_dict()
    for name, value in given.state_dict().items():
        torch.testing.assert_close(tuned[name], value, atol=1e-4, rtol=1e-3)
    provenance = json.loads((out / "region_model.json").read_text())["provenance"]
    assert provenance["initial"] == weights_digest(given.state_dict())
    assert provenance["source_digest"] == source.digest()
    assert (provenance["steps"], provenance["images"]) == (2, 4)
    assert len(list(cache.iterdir())) == 1
    # Other weights to start from are another training, and not a resume of this one.
    fine_tune(source, (random_sam(5), ARCHITECTURE), CONFIG, out, cache=cache, progress=False)
    assert len(list(cache.iterdir())) == 2


def test_digest_tells_weights_apart():
    assert weights_digest(random_sam(1).state_dict()) == weights_digest(random_sam(1).state_dict())
    assert weights_digest(random_sam(1).state_dict()) != weights_digest(random_sam(2).state_dict())


def test_sources_give_image_label_and_instances(data):
    folder = labelled_part(data, "source_val")
    sources = FolderSources(folder)
    image, label, instances = sources[1]
    assert len(sources) == 2
    assert image.shape == (*label.shape, 3)
    assert (label[0, :3] == 255).all()
    assert instances is None
    scenes = SceneSources([5, 9], (48, 64))
    scene = generate_scene("day", 9, (48, 64))
    assert len(scenes) == 2
    assert (scenes[1][0] == scene.image).all()
    np.testing.assert_array_equal(scenes[1][2], scene.instances)
    assert scenes[1][0] is scenes[1][0]
