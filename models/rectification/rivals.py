"""Simpler estimates of how far a label can be trusted, each float32 (H, W) in [0, 1].

What an implicit field must beat to be worth its cost. None looks at a true class; `calibrated`
alone takes the two numbers that were fitted on some.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from models.prediction import Prediction
from models.rectification.calibration import PlattScaling, log_odds
from models.rectification.rectifier import Rectifier, field_input, log_probabilities
from models.rectification.stage import gained

Estimate = npt.NDArray[np.float32]


def max_softmax(prediction: Prediction) -> Estimate:
    """The probability that the model gives to its own class."""
    return prediction.p_max


def calibrated(prediction: Prediction, scaling: PlattScaling) -> Estimate:
    """Max-softmax, its log odds scaled and shifted: temperature scaling with a bias."""
    return scaling.probability(log_odds(prediction.p_max))


def negentropy(prediction: Prediction) -> Estimate:
    """1 - H(p) / log K, of probabilities of cells of 4 px, bilinear between their centres."""
    assert prediction.detail is not None
    given = field_input(prediction.detail)
    p = given.probabilities
    entropy = -(p * log_probabilities(p)).sum(1, keepdim=True)
    least = 1 - entropy / math.log(max(2, p.shape[1]))
    return _at_pixels(least, given.probabilities_cover_hw_px, prediction).clip(0, 1)


def agreement(prediction: Prediction, views: list[Prediction]) -> Estimate:
    """The mean of max-softmax over views that say the same class, those that do not count 0.

    Args:
        prediction: of the image as it is.
        views: of the image under changes that were undone again.
    """
    total = prediction.p_max.astype(np.float64)
    for view in views:
        total += np.where(view.label == prediction.label, view.p_max, 0)
    return (total / (1 + len(views))).astype(np.float32)


def discrete_divergence(prediction: Prediction, rectifier: Rectifier) -> Estimate:
    """exp(-KL(b || p)) on the feature grid, bilinear between cells.

    Zheng and Yang, "Rectifying Pseudo Label Learning via Uncertainty Estimation for Domain Adaptive
    Semantic Segmentation", IJCV 2021, equation 5, with the rectifier's second opinion for the
    auxiliary head.

    Raises:
        ValueError: the rectifier has none.
    """
    assert prediction.detail is not None
    if rectifier.auxiliary is None:
        raise ValueError("the rectifier has no second opinion")
    given = field_input(prediction.detail)
    with torch.inference_mode():
        b = rectifier.auxiliary(given.features)
        size = b.shape[2:]
        p = F.interpolate(given.probabilities, size, mode="bilinear", align_corners=False)
        divergence = (b * (log_probabilities(b) - log_probabilities(p))).sum(1, keepdim=True)
        trust = torch.exp(-divergence.clamp(min=0))
    return _at_pixels(trust, given.features_cover_hw_px, prediction)


def grid_field(prediction: Prediction, rectifier: Rectifier) -> Estimate:
    """The rectifier's network at the centres of its cells, logits bilinear between them.

    With a field fitted without `relative` and `ensemble` this is a plain convolutional head.
    """
    assert prediction.detail is not None
    given = field_input(prediction.detail)
    cells_hw = given.features.shape[2:]
    steps = [cover / n for cover, n in zip(given.features_cover_hw_px, cells_hw, strict=True)]
    y, x = ((torch.arange(n) + 0.5) * step for n, step in zip(cells_hw, steps, strict=True))
    centres = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(1, -1, 2)
    with torch.inference_mode():
        logits = rectifier.field(given, centres).reshape(1, 1, *cells_hw)
    upsampled = _at_pixels(logits, given.features_cover_hw_px, prediction)
    return rectifier.calibration.probability(upsampled + gained(prediction, rectifier))


def _at_pixels(
    values: torch.Tensor, cover_hw_px: tuple[float, float], prediction: Prediction
) -> Estimate:
    """A map [1, 1, h, w] at the centres of the image's pixels."""
    height, width = prediction.label.shape
    full_hw = round(cover_hw_px[0]), round(cover_hw_px[1])
    resized = F.interpolate(values.float(), full_hw, mode="bilinear", align_corners=False)
    return np.ascontiguousarray(resized[0, 0, :height, :width].numpy())
