"""The whole label path on a GPU says what it says on a CPU."""

from dataclasses import replace

import pytest
import torch

from models.config import PipelineConfig, PredictConfig, SelectConfig
from models.connectivity.config import AggregateConfig, CorrectConfig, ProposalsConfig
from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from models.promptable.builtin import load_built_in
from models.rectification.config import RectifyConfig
from tests.gpu.device import (
    CPU,
    DEVICE,
    MARKS,
    confidence_difference,
    demo_model,
    equal_fraction,
    three_images,
)

pytestmark = MARKS

PREDICT = PredictConfig(flip=True, scales=(1.0, 0.75))
PIXELS = PipelineConfig(
    predict=PREDICT, rectify=RectifyConfig(edges="guided"), select=SelectConfig(scope="image")
)
REGIONS = replace(
    PIXELS,
    aggregate=AggregateConfig(proposals=ProposalsConfig(points_per_side=16)),
    correct=CorrectConfig(fit="model"),
)


def labels(config: PipelineConfig, device: torch.device, regions: str | None) -> list[LabelMaps]:
    region_model = None if regions is None else load_built_in(regions, str(device))
    pipeline = LabelPipeline(demo_model(device), config, region_model=region_model)
    return pipeline.label(three_images())


@pytest.mark.parametrize(
    ("regions", "config"), [(None, PIXELS), ("graph", REGIONS), ("nano", REGIONS)]
)
def test_labels_in_float32(regions, config):
    here, there = (labels(config, device, regions) for device in (CPU, DEVICE))
    equal, apart = equal_fraction(here, there), confidence_difference(here, there)
    print(f"float32, {regions}: equal {equal:.5f}, confidence apart {apart:.5f}")
    assert equal >= 0.995
    assert apart <= 0.01


@pytest.mark.parametrize(
    ("regions", "config", "least_equal", "most_apart"),
    [(None, PIXELS, 0.98, 0.02), ("graph", REGIONS, 0.95, 0.03), ("nano", REGIONS, 0.95, 0.03)],
)
def test_labels_in_bfloat16(regions, config, least_equal, most_apart):
    # bfloat16 has 8 bits: probabilities move by up to a hundredth. Of pixels, those near a border
    # or a threshold change; a region changes as a whole.
    reduced = replace(config, predict=replace(config.predict, precision="bfloat16"))
    here, there = labels(config, CPU, regions), labels(reduced, DEVICE, regions)
    equal, apart = equal_fraction(here, there), confidence_difference(here, there)
    print(f"bfloat16, {regions}: equal {equal:.5f}, confidence apart {apart:.5f}")
    assert equal >= least_equal
    assert apart <= most_apart


def test_labels_in_tf32_as_torch_has_it_by_default(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    here, there = labels(REGIONS, CPU, "nano"), labels(REGIONS, DEVICE, "nano")
    equal, apart = equal_fraction(here, there), confidence_difference(here, there)
    print(f"tf32, nano: equal {equal:.5f}, confidence apart {apart:.5f}")
    assert equal >= 0.97
    assert apart <= 0.02


def test_the_precision_that_was_used_is_told():
    reduced = replace(PIXELS, predict=replace(PREDICT, precision="bfloat16"))
    expected = "float32" if DEVICE.type == "cpu" else "bfloat16"
    assert LabelPipeline(demo_model(DEVICE), reduced).precision == expected
