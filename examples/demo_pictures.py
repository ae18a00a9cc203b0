"""Pictures of what each stage made of an image; pure functions on arrays."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from formats.overlay import colour_label, heat, overlay

Array = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

IGNORE: Final = 255
STRIPE_PX: Final = 6  # from one stripe to the next
OUTLINE: Final = (255, 255, 255)
_GAP_PX: Final = 4
_HEADING_PX: Final = 22


def pictures_of(
    image: Array,
    stages: Mapping[str, Array],
    confidence: Array,
    palette: Sequence[Colour],
    max_softmax: Array | None = None,
) -> dict[str, Array]:
    """Pictures by name in the order of a report, each uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 3).
        stages: class map after each stage, in order, uint8 (H, W); the last one is the label.
        confidence: of the finished label, uint8 (H, W).
        palette: a colour for each class.
        max_softmax: the confidence of `predict` alone, uint8 (H, W), to be shown before the other.
    """
    pictures = {"image": image}
    for name, label in stages.items():
        pictures[name] = colour_label(label, palette)
    if "aggregate" in stages and "correct" in stages:
        pictures["correct"] = corrected_picture(stages["aggregate"], stages["correct"], palette)
    if max_softmax is not None:
        pictures["max-softmax"] = heat(max_softmax)
    pictures["confidence"] = heat(confidence)
    pictures["overlay"] = overlay(image, list(stages.values())[-1], palette)
    return pictures


def corrected_picture(before: Array, after: Array, palette: Sequence[Colour]) -> Array:
    """The label after `correct`: what was rejected striped, what was relabelled outlined.

    Args:
        before: classes before, uint8 (H, W).
        after: classes after, uint8 (H, W).
        palette: a colour for each class.
    """
    picture = colour_label(after, palette)
    rejected = (after == IGNORE) & (before != IGNORE)
    striped = rejected & _stripes(before.shape)
    picture[striped] = colour_label(before, palette)[striped]
    relabelled = (after != IGNORE) & (before != IGNORE) & (after != before)
    picture[inner_outline(relabelled)] = OUTLINE
    return picture


def inner_outline(mask: Mask) -> Mask:
    """Pixels of a mask with a neighbour (of four) outside it or outside the image."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: Mask = mask & ~inside
    return outline


def _stripes(size_hw: tuple[int, ...]) -> Mask:
    y, x = np.indices(size_hw[:2])
    stripes: Mask = (x + y) % STRIPE_PX < STRIPE_PX // 3
    return stripes


def sheet(rows: Sequence[Sequence[Array]], headings: Sequence[str], tile_width_px: int) -> Array:
    """Pictures in rows under headings, uint8 (H, W, 3); the tiles have the shape of the first.

    Args:
        rows: as many pictures a row as there are headings.
        headings: one a column.
        tile_width_px: width of a picture in the sheet.
    """
    height, width = rows[0][0].shape[:2]
    tile_hw = (round(tile_width_px * height / width), tile_width_px)
    across = len(headings) * (tile_hw[1] + _GAP_PX) - _GAP_PX
    down = _HEADING_PX + len(rows) * (tile_hw[0] + _GAP_PX) - _GAP_PX
    page = Image.new("RGB", (across, down), "white")
    draw = ImageDraw.Draw(page)
    for column, heading in enumerate(headings):
        x = column * (tile_hw[1] + _GAP_PX)
        draw.text((x + tile_hw[1] / 2, 3), heading, "black", ImageFont.load_default(14), "ma")
        for row, pictures in enumerate(rows):
            tile = Image.fromarray(pictures[column]).resize((tile_hw[1], tile_hw[0]))
            page.paste(tile, (x, _HEADING_PX + row * (tile_hw[0] + _GAP_PX)))
    return np.asarray(page)
