"""Labels and confidences as pictures for the eye."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from formats.index_png import IGNORE_COLOUR, IGNORE_INDEX, Colour

# Every 32nd entry of matplotlib's viridis (CC0), which is even in lightness: dark = doubtful.
_VIRIDIS_ANCHORS: Final = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)


def colour_label(label: npt.NDArray[np.uint8], palette: Sequence[Colour]) -> npt.NDArray[np.uint8]:
    """Return a label, uint8 `(H, W)`, in the colours of its classes: uint8 `(H, W, 3)`.

    Ignored pixels, and ids beyond the palette, are black.
    """
    table = np.full((256, 3), IGNORE_COLOUR, np.uint8)
    table[: len(palette)] = np.asarray(palette, np.uint8).reshape(-1, 3)
    table[IGNORE_INDEX] = IGNORE_COLOUR
    return table[label]


def overlay(
    image: npt.NDArray[np.uint8],
    label: npt.NDArray[np.uint8],
    palette: Sequence[Colour],
    alpha: float = 0.5,
) -> npt.NDArray[np.uint8]:
    """Return the image with its label laid over it; ignored pixels show the bare image.

    Args:
        image: uint8, shape `(H, W, 3)`, RGB.
        label: uint8, shape `(H, W)`.
        palette: one RGB colour a class.
        alpha: weight of the label, 0 ... 1.

    Returns:
        uint8 array of shape `(H, W, 3)`.

    Raises:
        ValueError: the sizes differ, or alpha is out of range.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(f"image {image.shape[:2]} and label {label.shape} differ in size")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError("alpha must be 0 ... 1")
    weight = np.where(label == IGNORE_INDEX, 0.0, alpha).astype(np.float32)[..., None]
    mixed = image * (1 - weight) + colour_label(label, palette) * weight
    return np.rint(mixed).astype(np.uint8)


def heat(confidence: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a confidence map, uint8 `(H, W)`, in colours: uint8 `(H, W, 3)`.

    From dark violet (0) by green to yellow (255), with even steps in lightness.
    """
    anchors = np.asarray(_VIRIDIS_ANCHORS, np.float32)
    at = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), at, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)[confidence]
