"""Class probabilities of one window from several looks at it (mirrored, at other scales).

Logits stay at the model's own resolution; they are brought to full resolution strip by strip, since
255 classes at full resolution need a kilobyte per pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.config import PredictConfig
from models.errors import ModelOutputInvalid
from models.segmentation.base import SegmentationModel, SegmentationOutput


@dataclass(frozen=True)
class View:
    """Logits of one look at a batch of windows, [B, K, h, w].

    `covers_hw_px` is the extent of the logits in pixels of the unscaled window, from its top left
    corner (its top right corner if `flipped`). `features` [B, C, h2, w2], of the first look only,
    span the same extent or that of the window, `features_cover_hw_px`.
    """

    logits: Tensor
    covers_hw_px: tuple[float, float]
    flipped: bool
    features: Tensor | None = None
    features_cover_hw_px: tuple[float, float] = (0.0, 0.0)


def look(
    model: SegmentationModel, images: Tensor, config: PredictConfig, autocast: bool = False
) -> list[View]:
    """Runs the model on images, float32 [B, 3, H, W] in [0, 1], once per scale and side.

    Raises:
        ModelOutputInvalid: if the logits have another shape than [B, K, h, w].
    """
    views: list[View] = []
    for scale in config.scales:
        scaled = _rescale(images, scale)
        views.append(_look_once(model, scaled, images.shape, False, autocast, not views))
        if config.flip:
            views.append(_look_once(model, scaled.flip(-1), images.shape, True, autocast))
    return views


def probability_strips(
    views: list[View],
    index: int,
    size_hw: tuple[int, int],
    max_elements: int,
    with_agreement: bool = False,
) -> Iterator[tuple[int, Tensor]]:
    """Mean over the views of the softmax of the upsampled logits of image `index` of the batch.

    Upsampling is bilinear with `align_corners=False`, before the softmax.

    Args:
        max_elements: a strip has as many whole rows as fit into this number of values, at least 1.
        with_agreement: add a channel, the mean over the views of the largest probability where a
            view says the class that the mean says, 0 where it says another.

    Yields:
        (first row, float32 [K, rows, W], or [K + 1, rows, W] with agreement), from the top.
    """
    height, width = size_hw
    rows = max(1, max_elements // (views[0].logits.shape[1] * width))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        total = None
        said: list[tuple[Tensor, Tensor]] = []
        for view in views:
            logits = upsample_rows(view, index, size_hw, top, bottom)
            probabilities = torch.softmax(logits, dim=0)
            if with_agreement:
                highest, winner = probabilities.max(dim=0)
                said.append((highest, winner))
            total = probabilities if total is None else total.add_(probabilities)
        assert total is not None
        if len(views) > 1:
            total.div_(len(views))
        yield top, torch.cat([total, _agreement(total, said)]) if with_agreement else total


def _agreement(mean: Tensor, said: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Float32 [1, rows, W] of the largest probability and the class of each view."""
    winner = mean.argmax(dim=0)
    agreed = [torch.where(label == winner, highest, 0) for highest, label in said]
    return torch.stack(agreed).mean(0, keepdim=True)


def upsample_rows(
    view: View, index: int, size_hw: tuple[int, int], top: int, bottom: int
) -> Tensor:
    """Rows `top` to `bottom` of the logits at full resolution: float32 [K, bottom - top, W]."""
    height, width = size_hw
    logits = view.logits[index]
    rows = _interpolate(logits, 1, height, view.covers_hw_px[0], top, bottom)
    if view.covers_hw_px[1] == width:
        # The same arithmetic in one fast call; the rows are left as they are.
        full = F.interpolate(
            rows[None], size=(bottom - top, width), mode="bilinear", align_corners=False
        )[0]
    else:
        full = _interpolate(rows, 2, width, view.covers_hw_px[1], 0, width)
    return full.flip(-1) if view.flipped else full


def _interpolate(
    values: Tensor, dim: int, size: int, covers_px: float, start: int, stop: int
) -> Tensor:
    """Samples `values` along `dim` at the centres of pixels `start` to `stop`; float32."""
    cells = values.shape[dim]
    if cells == size == covers_px:
        return values.narrow(dim, start, stop - start).float()
    centres = torch.arange(start, stop, dtype=torch.float64, device=values.device) + 0.5
    place = (centres * (cells / covers_px) - 0.5).clamp(0, cells - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=cells - 1)
    shape = [1] * values.dim()
    shape[dim] = stop - start
    fraction = (place - low).float().view(shape)
    return torch.lerp(
        values.index_select(dim, low).float(), values.index_select(dim, high).float(), fraction
    )


def _rescale(images: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return images
    height, width = images.shape[-2:]
    size_hw = (max(1, round(scale * height)), max(1, round(scale * width)))
    return F.interpolate(
        images, size=size_hw, mode="bilinear", align_corners=False, antialias=scale < 1
    )


def _look_once(
    model: SegmentationModel,
    scaled: Tensor,
    shape: torch.Size,
    flipped: bool,
    autocast: bool,
    keep_features: bool = False,
) -> View:
    with torch.autocast(scaled.device.type, dtype=torch.bfloat16, enabled=autocast):
        output = model.forward(scaled)
    _check_output(output, shape[0], model.ontology.num_classes)
    scaled_hw = scaled.shape[-2:]
    covers_hw = output.covers_hw_px or (scaled_hw[0], scaled_hw[1])
    covers_hw_px = (
        covers_hw[0] * (shape[2] / scaled_hw[0]),
        covers_hw[1] * (shape[3] / scaled_hw[1]),
    )
    return View(
        logits=output.logits,
        covers_hw_px=covers_hw_px,
        flipped=flipped,
        features=output.features if keep_features else None,
        features_cover_hw_px=covers_hw_px,
    )


def _check_output(output: SegmentationOutput, batch: int, num_classes: int) -> None:
    shape = tuple(output.logits.shape)
    if len(shape) != 4 or shape[:2] != (batch, num_classes) or 0 in shape:
        raise ModelOutputInvalid(
            f"the model gave logits of shape {shape}; ({batch}, {num_classes}, h, w) was expected"
        )
