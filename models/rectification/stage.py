"""The stage `rectify`: how far each label can be trusted, and which class it should have been."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.prediction import Prediction
from models.rectification.calibration import log_odds
from models.rectification.config import RectifyConfig
from models.rectification.dense import dense_logits
from models.rectification.field import FieldInput
from models.rectification.mixture import rectified_label
from models.rectification.rectifier import Rectifier, field_input

_PIXELS_AT_ONCE = 1 << 18


@torch.inference_mode()
def rectify(prediction: Prediction, rectifier: Rectifier, config: RectifyConfig) -> Prediction:
    """The prediction with rectified classes, and with reliabilities in place of max-softmax.

    With r the reliability of the predicted class, p the model's probabilities and b the second
    opinion, the class becomes the argmax of r p + (1 - r) b. c is r where the class stays, and the
    mixture's probability of the new class where it changes.

    Args:
        prediction: with `detail`.
        rectifier: fitted for the model that predicted.
        config: how.

    Returns:
        `label` is the rectified class, `p_max` is c, and `predicted` the class before.

    Raises:
        ValueError: the prediction has no detail, or the features are not finite or not those that
            the rectifier knows.
    """
    detail = prediction.detail
    if detail is None:
        raise ValueError("the stage 'rectify' needs a prediction with its detail")
    given = field_input(detail)
    reliability = reliability_of(prediction, given, rectifier, config)
    label, certainty = prediction.label, reliability
    if config.relabel and rectifier.auxiliary is not None:
        label, certainty = _relabelled(prediction, given, rectifier, reliability)
    return replace(prediction, label=label, p_max=certainty, predicted=prediction.label)


def reliability_of(
    prediction: Prediction, given: FieldInput, rectifier: Rectifier, config: RectifyConfig
) -> npt.NDArray[np.float32]:
    """r at every pixel, float32 (H, W): the probability that the predicted class is right."""
    height, width = prediction.label.shape
    field = dense_logits(
        rectifier.field,
        given,
        (height, width),
        mode=config.mode,
        label=torch.from_numpy(prediction.label)[None],
        band_px=config.band_px,
    )[0]
    logits = field.numpy() + rectifier.confidence_gain * log_odds(prediction.p_max)
    return rectifier.calibration.probability(logits)


def _relabelled(
    prediction: Prediction,
    given: FieldInput,
    rectifier: Rectifier,
    reliability: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    assert rectifier.auxiliary is not None
    r, p_max = reliability.ravel(), prediction.p_max.ravel()
    # No other class has more than 1 - p_max, and b has not more than 1: the rest cannot change.
    pixels = np.flatnonzero(1 - r > r * (2 * p_max - 1))
    label, certainty = prediction.label.copy(), reliability.copy()
    opinion = rectifier.auxiliary(given.features)
    width = prediction.label.shape[1]
    for first in range(0, len(pixels), _PIXELS_AT_ONCE):
        part = pixels[first : first + _PIXELS_AT_ONCE]
        centres = torch.from_numpy(np.stack([part // width, part % width], 1) + 0.5)
        p = bilinear(given.probabilities, given.probabilities_cover_hw_px, centres)
        b = bilinear(opinion, given.features_cover_hw_px, centres)
        own = torch.from_numpy(prediction.label.ravel()[part].astype(np.int64))[:, None]
        # p comes from a coarse grid; of the predicted class the exact value is at hand.
        p.scatter_(1, own, torch.from_numpy(p_max[part])[:, None])
        trust = torch.from_numpy(r[part])
        highest, winner = rectified_label(trust, p, b).max(1)
        changed = (winner != own[:, 0]).numpy()
        label.ravel()[part[changed]] = winner.numpy()[changed]
        certainty.ravel()[part[changed]] = highest.clamp(max=1).numpy()[changed]
    return label, certainty


def bilinear(values: Tensor, cover_hw_px: tuple[float, float], points_yx_px: Tensor) -> Tensor:
    """A map [1, K, h, w] at points [N, 2], float [N, K]; beyond its border as at the border."""
    cover = points_yx_px.new_tensor(cover_hw_px)
    places = (2 * points_yx_px / cover - 1).flip(-1).to(values.dtype)
    found = F.grid_sample(values, places[None, None], padding_mode="border", align_corners=False)
    return found[0, :, 0].T.contiguous()
