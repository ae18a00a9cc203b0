"""Labels and confidences as PNG: what is stored, and what users send.

A label is an 8-bit palette PNG whose index is the class id, with 255 = ignore. The colours are
for the eye only; nothing reads them.
"""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from formats.errors import InputRefused
from formats.headers import png_bit_depth
from formats.opening import ImageLimits, opened_image

IGNORE_INDEX: Final = 255
# Black, as the void of Cityscapes and the background of most viewers.
IGNORE_COLOUR: Final = (0, 0, 0)
MAX_CLASSES: Final = 255
_LABEL_COMPRESS_LEVEL: Final = 6
# Confidences are as noisy as photographs: level 6 saves 9 % and takes nearly four times as long.
_CONFIDENCE_COMPRESS_LEVEL: Final = 2
_NAMED_VALUES: Final = 10

Colour = tuple[int, int, int]


def encode_label_png(label: npt.NDArray[np.uint8], palette: Sequence[Colour]) -> bytes:
    """Return a label as an 8-bit palette PNG; equal arrays give equal bytes.

    Args:
        label: uint8, shape `(H, W)`, values `0 ... len(palette) - 1` and 255 = ignore.
        palette: one RGB colour a class, at most 255. Entry 255 and unused ones are black.

    Raises:
        ValueError: the array is no such label.
    """
    _check_grey(label)
    if len(palette) > MAX_CLASSES:
        raise ValueError(f"{len(palette)} classes; at most {MAX_CLASSES} fit beside ignore")
    stray = _stray_values(label, len(palette))
    if stray:
        raise ValueError(f"label holds {stray}, the palette has {len(palette)} classes")
    image = Image.fromarray(label)
    unused = [IGNORE_COLOUR] * (IGNORE_INDEX + 1 - len(palette))
    image.putpalette([channel for colour in (*palette, *unused) for channel in colour])
    return _png_bytes(image, _LABEL_COMPRESS_LEVEL)


def encode_confidence_png(confidence: npt.NDArray[np.uint8]) -> bytes:
    """Return `round(255 * c)` as an 8-bit grey PNG; equal arrays give equal bytes.

    Args:
        confidence: uint8, shape `(H, W)`; 0 where the label is ignored.

    Raises:
        ValueError: the array is not uint8 of shape `(H, W)`, or is empty.
    """
    _check_grey(confidence)
    return _png_bytes(Image.fromarray(confidence), _CONFIDENCE_COMPRESS_LEVEL)


def decode_label_png(
    data: bytes,
    limits: ImageLimits,
    num_classes: int | None = None,
    stored_ignore_value: int | None = IGNORE_INDEX,
) -> npt.NDArray[np.uint8]:
    """Return the class ids of an index PNG, with 255 = ignore.

    Palette PNGs give their index, never their colour. Grey PNGs of 1, 2, 4, 8 and 16 bits give
    their sample value (viewers and decoders stretch the short ones to 0 ... 255; this does not).
    A stored orientation is not applied: an index PNG is a matrix.

    Args:
        data: the whole file.
        limits: bounds on bytes, pixels and sides.
        num_classes: if given, values must be below it, or mean ignore.
        stored_ignore_value: the value that means ignore in this file, beside 255; it becomes 255.

    Returns:
        Writable uint8 array of shape `(H, W)`.

    Raises:
        InputRefused: `label-invalid` for anything that is no index PNG or has other values; the
            codes of `opened_image` for what is no readable PNG.
    """
    samples = _read_samples(data, limits)
    if stored_ignore_value not in (None, IGNORE_INDEX):
        samples[samples == stored_ignore_value] = IGNORE_INDEX
    stray = _stray_values(samples, IGNORE_INDEX if num_classes is None else num_classes)
    if stray:
        raise _stray_refused(stray, num_classes, stored_ignore_value)
    return samples.astype(np.uint8, copy=False)


def decode_grey_png(data: bytes, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    """Return an 8-bit grey PNG, such as a confidence map, as uint8 of shape `(H, W)`.

    Raises:
        InputRefused: `label-invalid` for another kind of PNG, else as `opened_image`.
    """
    with opened_image(io.BytesIO(data), limits, ("PNG",)) as image:
        if image.mode != "L" or png_bit_depth(data) != 8:
            raise InputRefused("label-invalid", "The map must be an 8-bit grey PNG.")
        return np.array(image)


def _read_samples(data: bytes, limits: ImageLimits) -> npt.NDArray[np.uint8 | np.uint16]:
    with opened_image(io.BytesIO(data), limits, ("PNG",)) as image:
        if image.mode in ("RGB", "RGBA"):
            raise InputRefused(
                "label-invalid",
                "The label looks like a colour mask (RGB); an index PNG is needed, "
                "in which each pixel holds the class id.",
                "Save the mask with mode L or P and the class ids as pixel values.",
            )
        if image.mode not in ("1", "L", "P", "I;16"):
            raise InputRefused(
                "label-invalid",
                f"The label has the pixel mode {image.mode}; an index PNG is grey or palette, "
                "without an alpha channel.",
            )
        samples = np.array(image)
        if image.mode == "1":
            return samples.astype(np.uint8)
        if image.mode == "L" and png_bit_depth(data) in (2, 4):
            # Pillow stretches short grey samples to 0 ... 255: undo that.
            return samples // np.uint8(255 // (2 ** png_bit_depth(data) - 1))
        return samples


def _stray_values(samples: npt.NDArray[np.unsignedinteger], num_classes: int) -> list[int]:
    """Return the sorted values that are neither a class id nor ignore."""
    wrong = (samples >= num_classes) & (samples != IGNORE_INDEX)
    return [int(value) for value in np.unique(samples[wrong])] if wrong.any() else []


def _stray_refused(
    stray: list[int], num_classes: int | None, stored_ignore_value: int | None
) -> InputRefused:
    named = ", ".join(map(str, stray[:_NAMED_VALUES]))
    more = f" and {len(stray) - _NAMED_VALUES} more" if len(stray) > _NAMED_VALUES else ""
    ignores = "255"
    if stored_ignore_value not in (None, IGNORE_INDEX):
        ignores = f"{stored_ignore_value} and 255"
    last = (IGNORE_INDEX if num_classes is None else num_classes) - 1
    return InputRefused(
        "label-invalid",
        f"The label holds the values {named}{more}; class ids are 0 ... {last}, "
        f"ignored pixels {ignores}.",
        "Check that the classes belong to this label and that its ignore value is stated.",
    )


def _check_grey(array: npt.NDArray[np.uint8]) -> None:
    if array.dtype != np.uint8 or array.ndim != 2 or array.size == 0:
        raise ValueError(f"expected uint8 of shape (H, W), got {array.dtype} of {array.shape}")


def _png_bytes(image: Image.Image, compress_level: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()
