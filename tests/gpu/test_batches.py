"""Images in a batch, and windows of a large one, say what each says alone."""

import numpy as np
import pytest

from models.config import PredictConfig
from models.prediction import Prediction, Predictor
from tests.gpu.device import CPU, DEVICE, MARKS, demo_model, scene

pytestmark = MARKS


def predictions(config: PredictConfig, images, device=DEVICE) -> list[Prediction]:
    found = dict(Predictor(demo_model(device), config, with_detail=True).predict(images))
    return [found[place] for place in range(len(images))]


def check_alike(one: list[Prediction], other: list[Prediction]) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a.label == b.label).mean() >= 0.999
        assert np.abs(a.p_max - b.p_max).mean() <= 1e-3
        assert a.detail is not None
        assert b.detail is not None
        assert np.abs(a.detail.probabilities - b.detail.probabilities).mean() <= 1e-3


@pytest.mark.parametrize("looks", [{}, {"flip": True, "scales": (1.0, 1.25)}])
def test_eight_at_once_are_as_one_by_one(looks):
    images = [scene(seed).image for seed in range(8)]
    together, alone = (
        predictions(PredictConfig(batch_size=size, **looks), images) for size in (8, 1)
    )
    check_alike(together, alone)


def test_images_of_several_sizes_keep_their_order():
    sizes = [(120, 160), (96, 160), (120, 160), (97, 131), (96, 160)]
    images = [scene(seed, size_hw=size).image for seed, size in enumerate(sizes)]
    together, alone = (predictions(PredictConfig(batch_size=size), images) for size in (8, 1))
    assert [each.label.shape for each in together] == sizes
    check_alike(together, alone)


def test_windows_are_as_on_the_cpu():
    images = [scene(0, size_hw=(300, 420)).image]
    config = PredictConfig(window_px=128, flip=True, batch_size=8)
    check_alike(predictions(config, images), predictions(config, images, CPU))
