"""The stage `rectify`: how far each label can be trusted, and which class it should have been."""

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.memory import or_none_if_out_of_memory
from models.prediction import Prediction
from models.prediction_detail import CELL_PX
from models.rectification.calibration import LEAST_AGREEMENT, log_odds
from models.rectification.config import RectifyConfig
from models.rectification.dense import dense_logits
from models.rectification.field import FieldInput
from models.rectification.guided import Guide
from models.rectification.mixture import rectified_label
from models.rectification.opinion import opinion_weight, weighed
from models.rectification.rectifier import Rectifier, field_input
from models.rectification.sampling import near_edges

_PIXELS_AT_ONCE = 1 << 18


@torch.inference_mode()
def rectify(prediction: Prediction, rectifier: Rectifier, config: RectifyConfig) -> Prediction:
    """The prediction with rectified classes, and with reliabilities in place of max-softmax.

    With r the reliability of the predicted class, p the model's probabilities and b the second
    opinion, the class becomes the argmax of r p + (1 - r) b; near edges of the label p and b are
    read as the colours of the image guide. In an image where b contradicts what the model is sure
    of, it has less weight or none, and `note` says so. c is r where the class stays, and the
    mixture's probability of the new class where it changes.

    Args:
        prediction: with `detail`.
        rectifier: fitted for the model that predicted; its device computes, or the CPU where
            memory runs out there.
        config: how.

    Returns:
        `label` is the rectified class, `p_max` is c, `predicted` the class before, and `mixed` are
        the probabilities of the mixture in cells of 4 px, where classes may change.

    Raises:
        ValueError: the prediction has no detail, or the features are not finite or not those that
            the rectifier knows.
    """
    found = or_none_if_out_of_memory(partial(_rectify, prediction, rectifier, config))
    if found is None:  # the card is full; the CPU takes longer
        found = _rectify(prediction, rectifier.on(torch.device("cpu")), config)
    return found


def _rectify(prediction: Prediction, rectifier: Rectifier, config: RectifyConfig) -> Prediction:
    detail = prediction.detail
    if detail is None:
        raise ValueError("the stage 'rectify' needs a prediction with its detail")
    given = _moved(field_input(detail), rectifier.device)
    reliability = reliability_of(prediction, given, rectifier, config)
    label, certainty, mixed, note = prediction.label, reliability, None, prediction.note
    if config.relabel and rectifier.auxiliary is not None:
        opinion = rectifier.auxiliary(given.features)
        weight = opinion_weight(given.probabilities, opinion)
        opinion = weighed(opinion, given.probabilities, weight)
        if weight < 1:
            note = (
                f"rectify gave its second opinion a weight of {weight:.2f}: it contradicts the "
                "model where that is sure"
            )
        label, certainty = relabelled(prediction, given, opinion, reliability)
        if config.edges == "guided" and detail.image is not None:
            said = torch.from_numpy(prediction.label).to(rectifier.device)
            near = near_edges(said[None], config.band_px)[0].cpu().numpy()
            guide = Guide.of(detail.image, rectifier.device)
            relabel_guided(prediction, given, opinion, reliability, near, guide, label, certainty)
        mixed = _mixed(given, opinion, reliability)
    return replace(
        prediction,
        label=label,
        p_max=certainty,
        predicted=prediction.label,
        mixed=mixed,
        note=note,
    )


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
    if rectifier.field.shape.per_class:
        own = torch.from_numpy(prediction.label.astype(np.int64))[None].to(field.device)
        field = field.gather(0, own)[0]
    return rectifier.calibration.probability(field.cpu().numpy() + gained(prediction, rectifier))


def gained(prediction: Prediction, rectifier: Rectifier) -> npt.NDArray[np.float32]:
    """What is added to the logits of the field at every pixel, float32 (H, W)."""
    found = rectifier.confidence_gain * log_odds(prediction.p_max)
    if rectifier.agreement_gain != 0:
        agreed = prediction.p_max if prediction.agreement is None else prediction.agreement
        found = found + rectifier.agreement_gain * log_odds(agreed, LEAST_AGREEMENT)
    return found.astype(np.float32)


def relabelled(
    prediction: Prediction,
    given: FieldInput,
    opinion: Tensor,
    reliability: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The argmax of r p + (1 - r) b, uint8 (H, W), and c, float32 (H, W).

    Args:
        prediction: p, and the class that r is about.
        given: p on the coarse grid, B = 1.
        opinion: b on the grid of the features, float [1, K, h, w], on the same device.
        reliability: r, float32 (H, W).
    """
    device = opinion.device
    r, p_max = reliability.ravel(), prediction.p_max.ravel()
    # No other class has more than 1 - p_max, and b has not more than 1: the rest cannot change.
    pixels = np.flatnonzero(1 - r > r * (2 * p_max - 1))
    label, certainty = prediction.label.copy(), reliability.copy()
    width = prediction.label.shape[1]
    for first in range(0, len(pixels), _PIXELS_AT_ONCE):
        part = pixels[first : first + _PIXELS_AT_ONCE]
        centres = torch.from_numpy(np.stack([part // width, part % width], 1) + 0.5).to(device)
        p = bilinear(given.probabilities, given.probabilities_cover_hw_px, centres)
        b = bilinear(opinion, given.features_cover_hw_px, centres)
        before = prediction.label.ravel()[part]
        own = torch.from_numpy(before.astype(np.int64)).to(device)[:, None]
        # p comes from a coarse grid; of the predicted class the exact value is at hand.
        p.scatter_(1, own, torch.from_numpy(p_max[part]).to(device)[:, None])
        highest, classes = _largest(r[part], p, b)
        changed = classes != before
        label.ravel()[part[changed]] = classes[changed]
        certainty.ravel()[part[changed]] = highest[changed]
    return label, certainty


def relabel_guided(
    prediction: Prediction,
    given: FieldInput,
    opinion: Tensor,
    reliability: npt.NDArray[np.float32],
    where: npt.NDArray[np.bool_],
    guide: Guide,
    label: npt.NDArray[np.uint8],
    certainty: npt.NDArray[np.float32],
) -> None:
    """Writes into `label` and `certainty` what `relabelled` gives, read as the guide says.

    Args:
        prediction, given, opinion, reliability: as for `relabelled`.
        where: the pixels that are written, bool (H, W).
        guide: of the image, on the device of the opinion.
        label, certainty: (H, W); changed.
    """
    pixels = np.flatnonzero(where)
    width = where.shape[1]
    for first in range(0, len(pixels), _PIXELS_AT_ONCE):
        part = pixels[first : first + _PIXELS_AT_ONCE]
        at = [torch.from_numpy(of).to(opinion.device) for of in (part // width, part % width)]
        p = guide.read(given.probabilities, given.probabilities_cover_hw_px, at)
        b = guide.read(opinion, given.features_cover_hw_px, at)
        highest, classes = _largest(reliability.ravel()[part], p, b)
        changed = classes != prediction.label.ravel()[part]
        label.ravel()[part] = classes
        certainty.ravel()[part] = np.where(changed, highest, reliability.ravel()[part])


def _largest(
    reliability: npt.NDArray[np.float32], p: Tensor, b: Tensor
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Largest probability of the mixture at N pixels, float32 (N,), and its class, uint8 (N,)."""
    trust = torch.from_numpy(reliability).to(p.device)
    highest, winner = rectified_label(trust, p, b).max(1)
    return highest.clamp(max=1).cpu().numpy(), winner.to(torch.uint8).cpu().numpy()


def _moved(given: FieldInput, device: torch.device) -> FieldInput:
    agreement = None if given.agreement is None else given.agreement.to(device)
    return replace(
        given,
        features=given.features.to(device),
        probabilities=given.probabilities.to(device),
        agreement=agreement,
    )


def _mixed(
    given: FieldInput, opinion: Tensor, reliability: npt.NDArray[np.float32]
) -> npt.NDArray[np.float16]:
    """r p + (1 - r) b in cells of 4 px, float16 (K, ceil(H / 4), ceil(W / 4))."""
    height, width = reliability.shape
    p = given.probabilities
    r = torch.from_numpy(reliability).to(p.device)[None, None]
    r = F.pad(r, _to_cells(height, width), "replicate")
    r = F.avg_pool2d(r, CELL_PX)
    axes = [(torch.arange(cells, device=p.device) + 0.5) * CELL_PX for cells in p.shape[2:]]
    b = bilinear(opinion, given.features_cover_hw_px, torch.cartesian_prod(*axes))
    mixed = r * p + (1 - r) * b.T.reshape(p.shape)
    return np.asarray(mixed[0].half().cpu().numpy())


def _to_cells(height: int, width: int) -> tuple[int, int, int, int]:
    """How many pixels to add on each side for whole cells, as `F.pad` wants them."""
    return 0, -width % CELL_PX, 0, -height % CELL_PX


def bilinear(values: Tensor, cover_hw_px: tuple[float, float], points_yx_px: Tensor) -> Tensor:
    """A map [1, K, h, w] at points [N, 2], float [N, K]; beyond its border as at the border."""
    cover = points_yx_px.new_tensor(cover_hw_px)
    places = (2 * points_yx_px / cover - 1).flip(-1).to(values.dtype)
    found = F.grid_sample(values, places[None, None], padding_mode="border", align_corners=False)
    return found[0, :, 0].T.contiguous()
