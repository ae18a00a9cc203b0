from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.folders import list_images, read_image
from benchmarks.quality.labelling import LabelFolder
from benchmarks.quality.local_labeller import LocalLabeller
from benchmarks.quality.remembering import RememberingRegionModel
from benchmarks.quality.stages import PLAIN, REGIONS, region_pipeline
from models.config import PipelineConfig
from models.pipeline import LabelPipeline
from models.selection import fit_thresholds
from tests.benchmarks.quality.tile_region_model import TileRegionModel
from tests.benchmarks.quality.tiny_data import write_data
from tests.support.tiny_model import write_tiny_bundle


@pytest.fixture
def images(tmp_path):
    return list_images(write_data(tmp_path / "data") / "target" / "images")


@pytest.fixture
def labeller(tmp_path):
    found = LocalLabeller(progress=False)
    found.register_model(write_tiny_bundle(tmp_path / "bundle"), "m")
    found._region_models["tiles"] = RememberingRegionModel(TileRegionModel())
    return found


@pytest.mark.parametrize("stage", ["psa", "psa_scc", "psa_scc_model"])
def test_labels_are_those_of_the_label_path(
    stage: str, labeller: LocalLabeller, images: list[Path], tmp_path: Path
):
    pipeline = region_pipeline(REGIONS[stage], "tiles")
    labeller.label_images(images, "m", pipeline, LabelFolder(tmp_path / "out"))
    config, model = PipelineConfig.from_dict(pipeline), labeller._models["m"]
    pictures = [read_image(path) for path in images]
    assert config.select is not None
    plain = LabelPipeline(model, PipelineConfig(select=config.select))
    fit = fit_thresholds(plain.pilot(pictures), config.select)
    path = LabelPipeline(model, config, fit, region_model=TileRegionModel())
    for file, expected in zip(images, path.label(pictures), strict=True):
        label, confidence = LabelFolder(tmp_path / "out").read(file.stem)
        np.testing.assert_array_equal(label, expected.label)
        np.testing.assert_array_equal(confidence, expected.confidence)
        assert LabelFolder(tmp_path / "out").read_regions(file.stem) == expected.regions_json


def test_stages_over_one_set_share_predictions_and_proposals(
    labeller: LocalLabeller, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tiles = TileRegionModel()
    labeller._region_models["tiles"] = RememberingRegionModel(tiles)
    looked: list[int] = []
    forward = labeller._models["m"].forward

    def looking(batch):
        looked.append(1)
        return forward(batch)

    monkeypatch.setattr(labeller._models["m"], "forward", looking)
    out = LabelFolder(tmp_path / "out")
    for stage in ("psa", "psa_scc"):
        labeller.label_images(images, "m", region_pipeline(REGIONS[stage], "tiles"), out)
    labeller.label_images(images, "m", PLAIN["select"], out)
    assert (len(looked), tiles.encoded, tiles.proposed) == (3, 3, 3)
    labeller.label_images(images[:1], "m", PLAIN["predict"], out)
    assert len(looked) == 4
