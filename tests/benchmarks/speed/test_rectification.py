import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.speed.rectification import (
    MEAN_CONFIDENCE,
    segformer_of_size_b0,
    sharpen,
    time_field,
    time_stage,
)
from benchmarks.speed.report import print_result


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_field_and_stage_are_timed_and_reported():
    field = time_field((16, 32), repeats=2)
    assert list(field["seconds"]) == ["naive", "exact", "coarse"]
    assert len(field["ratio"]["runs"]) == 2
    assert field["difference"] <= field["most_difference"]
    stage = time_stage((64, 96), goal=1e9, repeats=1)
    assert stage["reached"]
    assert stage["ratio"]["median"] == pytest.approx(
        stage["seconds"]["exact"]["median"] / stage["seconds"]["predict"]["median"]
    )
    console = Console(record=True, width=160)
    print_result({"rectification": {"field": field, "stages": [stage]}}, console)
    text = console.export_text()
    assert "naive / exact" in text
    assert "rectify / predict" in text


def test_the_network_is_as_sure_as_a_trained_one():
    model = segformer_of_size_b0()
    assert 3.5e6 < sum(p.numel() for p in model.module.parameters()) < 4e6
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sharpen(model, image)
    with torch.inference_mode():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        sure = model.forward(pixels).logits.softmax(1).amax(1).mean()
    assert float(sure) == pytest.approx(MEAN_CONFIDENCE, abs=0.02)
