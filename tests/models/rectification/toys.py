"""A model that takes yellow for red, and pictures of both; its features can tell them apart."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.rectification.auxiliary import AuxiliaryHead
from models.rectification.calibration import PlattScaling, log_odds
from models.rectification.field import FieldShape, ImplicitRectifier
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationOutput
from tests.models.fakes import RedModel

SIDE_PX = 48


class ColourModel(RedModel):
    """Scores of `RedModel`; the features are the mean colours of cells of 4 px."""

    def forward(self, images: Tensor) -> SegmentationOutput:
        return SegmentationOutput(super().forward(images).logits, F.avg_pool2d(images, 4))


def picture(seed: int, yellow_share: float = 1 / 3) -> tuple[str, np.ndarray, np.ndarray]:
    """Name, image and truth: nine squares on blue, red ones of class 1, yellow ones of class 0."""
    rng = np.random.default_rng(seed)
    image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    image[..., 2] = 200
    truth = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for number, is_yellow in enumerate(rng.random(9) < yellow_share):
        y, x = divmod(number, 3)
        square = slice(16 * y + 2, 16 * y + 14), slice(16 * x + 2, 16 * x + 14)
        image[square] = (170, 170 * is_yellow, 0)
        truth[square] = not is_yellow
    return f"{seed:064x}", image, truth


def doubtful_everywhere(names: tuple[str, ...], channels: int, reliability: float) -> Rectifier:
    """A rectifier with the same r at every pixel and a second opinion that is always class 0."""
    field = ImplicitRectifier(FieldShape(channels, len(names)))
    auxiliary = AuxiliaryHead(channels, len(names))
    with torch.no_grad():
        last: Any = field.rest[-1]
        opinion: Any = auxiliary.layers[-1]
        last.weight.zero_()
        last.bias.fill_(float(log_odds(np.array(reliability))))
        opinion.weight.zero_()
        opinion.bias.copy_(torch.tensor([20.0] + [0.0] * (len(names) - 1)))
    return Rectifier(
        field.eval().requires_grad_(False),
        auxiliary.requires_grad_(False),
        confidence_gain=0.0,
        calibration=PlattScaling(),
        class_names=names,
        fitted_for="",
        calibrated=True,
    )
