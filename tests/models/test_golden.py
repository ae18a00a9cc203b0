"""Bytes of labels may change only together with `ALGORITHM_VERSIONS`.

If a test here fails after an intended change: raise the version of the stage that changed, and add
the new digests below the old ones. If no change was intended, it is a fault.

CPUs differ in the last bits of a float. The seeds are such that no probability lies near a limit of
rounding or selection, so that these bits do not show.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.config import ALGORITHM_VERSIONS, PipelineConfig
from models.pipeline import LabelPipeline
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationModel
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter
from tests.models.connectivity.fakes import DrawnRegionModel, masks_of
from tests.models.fakes import ConvModel, names
from tests.support.tiny_rectifier import tiny_rectifier

PREDICT = {"predict": {"window_px": 32, "flip": True, "scales": [1.0, 0.5]}}
SELECT = {**PREDICT, "select": {"keep_fraction": 0.6, "scope": "image"}}
AGGREGATE = {**SELECT, "aggregate": {}}
CORRECT = {**AGGREGATE, "correct": {"fit": "model", "keep_below": 0.7}}

# (model, version of predict) -> digest, and (model, versions of predict and select) -> digest.
GOLDEN_PREDICT: dict[tuple[str, int], str] = {
    ("convolution", 1): "1c6cb0c9017563a9",
    ("compact", 1): "8a1d06fadd59fac7",
}
GOLDEN_SELECT: dict[tuple[str, int, int], str] = {
    ("convolution", 1, 1): "40fa1a9faa40c066",
    ("compact", 1, 1): "28deb3353051cd45",
}
# (versions of predict and rectify) -> digest, of the compact model.
GOLDEN_RECTIFY: dict[tuple[int, int], str] = {
    # Version 2 has other votes in masks; without masks its bytes are those of version 1.
    (1, 2): "e43a91e1f7a98373",
    # The image guides what is read near edges.
    (1, 3): "67ef1fd72c461a03",
    # A second opinion that contradicts the model has less weight.
    (1, 4): "7e0d0a0ca5b05a6b",
}
# Versions of predict, select and aggregate -> digest, with the model "convolution".
GOLDEN_AGGREGATE: dict[tuple[int, ...], str] = {
    (1, 1, 3): "2adb7fd2a2ee71d8",
}
GOLDEN_CORRECT: dict[tuple[int, ...], str] = {
    (1, 1, 3, 2): "1cc0b12d86454afa",
    (1, 1, 3, 3): "1cc0b12d86454afa",  # the network brings no classifier
}
CONVOLUTION_SEED = 3
COMPACT_SEED = 10
RECTIFIER_SEED = 396  # its second opinion has some weight in the scene, and not all of it


def convolution() -> SegmentationModel:
    model = ConvModel(num_classes=4, stride=2)
    values = np.random.default_rng(CONVOLUTION_SEED).normal(0, 1, tuple(model.weight.shape))
    model.weight = torch.from_numpy(values.astype(np.float32))
    return model


def compact() -> SegmentationModel:
    module = CompactSegmenter(4, width=6, feature_channels=8)
    random = np.random.default_rng(COMPACT_SEED)
    for name, tensor in module.named_parameters():
        if tensor.dim() == 4:
            deviation = (2 / tensor[0].numel()) ** 0.5
            values = random.normal(0, deviation, tuple(tensor.shape))
            tensor.data = torch.from_numpy(values.astype(np.float32))
        elif name.endswith("bias"):
            tensor.data.zero_()
    return BundledSegmenter(Bundle(module, names(4), {}), torch.device("cpu"))


def rectified() -> SegmentationModel:
    """The compact model with a rectifier that doubts it here and there."""
    model: Any = compact()
    drawn = tiny_rectifier(model.ontology, feature_channels=8)
    random = np.random.default_rng(RECTIFIER_SEED)
    tensors = {
        name: random.normal(0, 0.5, values.shape).astype(np.float32)
        for name, values in sorted(drawn.tensors().items())
    }
    model.rectifier = Rectifier.from_tensors(drawn.config(), tensors)
    return model


MODELS: dict[str, Callable[[], SegmentationModel]] = {
    "convolution": convolution,
    "compact": compact,
    "rectified": rectified,
}
NOT_RECTIFIED = ["convolution", "compact"]


def scene() -> np.ndarray:
    """A smooth picture of 20 x 41 with one rectangle."""
    y, x = np.mgrid[0:20, 0:41]
    image = np.stack([x * 6, y * 12, (x + y) * 4], axis=-1).astype(np.uint8)
    image[5:15, 18:30] = (200, 40, 90)
    return image


def drawn_masks() -> list[np.ndarray]:
    """Nested and overlapping rectangles in an image of 20 x 41."""
    masks = np.zeros((4, 20, 41), bool)
    masks[0, :8, :20] = masks[1, 5:15, 18:30] = masks[2, 8:, 10:25] = masks[3, 10:, 12:18] = True
    return list(masks)


def digest_of_labels(model_name: str, config: dict[str, Any]) -> str:
    masks = masks_of(drawn_masks(), [0.9, 0.8, 0.85, 0.75])
    pipeline = LabelPipeline(
        MODELS[model_name](),
        PipelineConfig.from_dict(config),
        region_model=DrawnRegionModel(masks),
    )
    (maps,) = pipeline.label([scene()])
    # A picture with one class, or without doubt, would not notice a change.
    assert len(maps.summary["class_pixels"]) >= 3
    assert len(np.unique(maps.confidence)) > 20
    if "rectify" in config:
        assert "a weight of 0.29" in maps.summary["notes"][0]
    return hashlib.sha256(maps.label.tobytes() + maps.confidence.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("model_name", NOT_RECTIFIED)
def test_predict(model_name):
    version = ALGORITHM_VERSIONS["predict"]
    assert digest_of_labels(model_name, PREDICT) == GOLDEN_PREDICT[model_name, version]


@pytest.mark.parametrize("model_name", NOT_RECTIFIED)
def test_select(model_name):
    versions = ALGORITHM_VERSIONS["predict"], ALGORITHM_VERSIONS["select"]
    assert digest_of_labels(model_name, SELECT) == GOLDEN_SELECT[model_name, *versions]


def test_rectify():
    versions = ALGORITHM_VERSIONS["predict"], ALGORITHM_VERSIONS["rectify"]
    digest = digest_of_labels("rectified", {**PREDICT, "rectify": {}})
    assert digest == GOLDEN_RECTIFY[versions]


def test_aggregate():
    versions = [ALGORITHM_VERSIONS[stage] for stage in ("predict", "select", "aggregate")]
    assert digest_of_labels("convolution", AGGREGATE) == GOLDEN_AGGREGATE[tuple(versions)]


def test_correct():
    versions = [ALGORITHM_VERSIONS[s] for s in ("predict", "select", "aggregate", "correct")]
    assert digest_of_labels("convolution", CORRECT) == GOLDEN_CORRECT[tuple(versions)]
