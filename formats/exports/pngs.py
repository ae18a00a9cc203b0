"""Arrays as PNG, for exporters."""

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

# Beyond 4, labels become a tenth smaller and take twice as long.
_LEVEL: Final = 4


def png_of(array: npt.NDArray[Any], palette: Sequence[int] | None = None) -> bytes:
    """Return an array as PNG; equal arrays give equal bytes.

    Args:
        array: uint8 `(H, W)` or `(H, W, 3)`, or uint16 `(H, W)`.
        palette: 256 colours, channel by channel: a palette PNG whose index is the value.
    """
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette)
    return _encoded(image)


def as_png(suffix: str, data: bytes) -> bytes:
    """Return a picture, `png` or `jpg`, as PNG."""
    if suffix == "png":
        return data
    with Image.open(io.BytesIO(data)) as image:
        return _encoded(image.convert("RGB"))


def mask_png(mask: npt.NDArray[np.bool_]) -> bytes:
    """Return a mask as grey PNG: 255 inside, 0 outside."""
    return png_of(np.where(mask, np.uint8(255), np.uint8(0)))


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_LEVEL)
    return buffer.getvalue()
