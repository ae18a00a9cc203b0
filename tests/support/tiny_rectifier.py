"""A rectifier with random weights for a model with random weights, and a fit that gives it."""

from collections.abc import Iterable
from typing import Any

import torch

from models.connectivity.source_fit import Labelled
from models.ontology import Ontology
from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import PlattScaling
from models.rectification.field import FieldShape, ImplicitRectifier
from models.rectification.rectifier import Rectifier, weights_digest
from models.segmentation.base import SegmentationModel

FEATURE_CHANNELS = 4  # of the bundles that tests write


def tiny_rectifier(
    ontology: Ontology,
    fitted_for: str = "",
    seed: int = 1,
    feature_channels: int = FEATURE_CHANNELS,
) -> Rectifier:
    torch.manual_seed(seed)
    classes = ontology.num_classes
    return Rectifier(
        ImplicitRectifier(FieldShape(feature_channels, classes, 2, (4,))).eval(),
        AuxiliaryHead(feature_channels, classes).eval(),
        confidence_gain=0.5,
        calibration=PlattScaling(0.75, -0.25),
        class_names=tuple(info.name for info in ontology.classes),
        fitted_for=fitted_for,
        calibrated=True,
    )


def fit_tiny_rectifier(
    model: SegmentationModel, labelled: Iterable[Labelled], config: Any, seed: int = 0
) -> tuple[Rectifier, dict[str, Any]]:
    """Stands for `fit_rectifier`: reads all images and learns nothing of them."""
    images = sum(image.shape[:2] == truth.shape for _, image, truth in labelled)
    rectifier = tiny_rectifier(model.ontology, weights_digest(model), seed + 1)
    return rectifier, {"images": images}
