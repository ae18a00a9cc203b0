"""A mask that a person corrected, as the artefacts of a label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formats.index_png import IGNORE_INDEX, Colour, encode_confidence_png, encode_label_png

SURE = 255


@dataclass(frozen=True)
class CorrectedMask:
    """The files of a corrected label, and what its row says of them.

    Attributes:
        confidence_png: 255 where the label has a class: a person vouches for it; else 0.
        class_pixels: class index as text → pixels, of classes that the label has.
        coverage: share of pixels with a class.
    """

    label_png: bytes
    confidence_png: bytes
    height_px: int
    width_px: int
    class_pixels: dict[str, int]
    coverage: float


def encode_corrected(label: npt.NDArray[np.uint8], palette: Sequence[Colour]) -> CorrectedMask:
    """Return the artefacts of a corrected label; equal arrays give equal bytes.

    Args:
        label: uint8, shape `(H, W)`, class indices below `len(palette)` and 255 = ignore.
        palette: one RGB colour a class.

    Raises:
        ValueError: the array is no such label.
    """
    label_png = encode_label_png(label, palette)
    kept = label != IGNORE_INDEX
    counts = np.bincount(label[kept])
    height_px, width_px = label.shape
    return CorrectedMask(
        label_png=label_png,
        confidence_png=encode_confidence_png(np.where(kept, SURE, 0).astype(np.uint8)),
        height_px=height_px,
        width_px=width_px,
        class_pixels={str(i): int(counts[i]) for i in np.flatnonzero(counts)},
        coverage=float(kept.mean()),
    )
