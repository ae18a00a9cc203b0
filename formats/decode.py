"""The one image decoder of the whole service: bytes in, upright 8-bit RGB out.

Two libraries that decode the same JPEG differ by EXIF rotation and a few grey levels, so labels
and images fit only when every part of the service decodes here.

Rules, so that one picture gives one array:

* EXIF orientation is applied; the label lies on the upright image. Unreadable EXIF means upright.
* 16-bit samples keep their high byte, grey as well as colour (12-bit TIFF its upper 8 bits).
* 32-bit and floating-point samples are refused: they have no agreed white, and scaling by what
  one image happens to hold would make the same scene look different from frame to frame.
* Transparent parts are laid over black, as the empty borders of undistorted frames are. What a
  transparent pixel hides is arbitrary and must not be labelled.
* CMYK (Adobe's inverted one included), YCbCr, palettes and 1-bit are converted by Pillow; colour
  profiles are ignored.
* Of several frames, pages or pictures only the first counts.
"""

import io
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from formats.errors import InputRefused
from formats.headers import png_has_late_orientation
from formats.opening import MULTI_PICTURE, PILLOW_ERRORS, ImageLimits, opened_image

# A crafted TIFF can chain millions of pages: they are counted up to here.
MAX_COUNTED_FRAMES: Final = 100
_MAX_EXIF_BYTES: Final = 8 << 20

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPAQUE_MODES: Final = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
_ALPHA_MODES: Final = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_SIXTEEN_BIT_MODES: Final = frozenset({"I;16", "I;16B", "I;16L"})


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image, without its pixels.

    Attributes:
        format: `JPEG`, `PNG`, `WEBP`, `TIFF` or `BMP`, by content.
        width_px: width after the EXIF orientation is applied.
        height_px: height after the EXIF orientation is applied.
        mode: Pillow's mode of the stored pixels, such as `RGB`, `L`, `I;16`, `CMYK`.
        orientation: EXIF orientation 1 ... 8 of the stored pixels.
        frames: frames, pages or pictures; TIFF pages are counted up to 100.
    """

    format: str
    width_px: int
    height_px: int
    mode: str
    orientation: int
    frames: int


def inspect_image(file: BinaryIO, limits: ImageLimits) -> ImageHeader:
    """Read the header of an image; cheap, for ingest. Rewinds `file` to its start.

    An image that passes can still be damaged further on, which `decode_image` finds.

    Args:
        file: seekable binary file.
        limits: bounds on bytes, pixels and sides.

    Raises:
        InputRefused: not an image, empty, over a limit, or of a kind that is not decoded.
        OSError: the file itself could not be read.
    """
    try:
        with opened_image(file, limits, header_only=True) as image:
            _check_mode(image.mode)
            stored_format = "JPEG" if image.format == MULTI_PICTURE else str(image.format)
            mode, (width_px, height_px) = image.mode, image.size
            orientation = _orientation(image)
            frames = _count_frames(image)
        if stored_format == "PNG" and orientation == 1 and png_has_late_orientation(file):
            with opened_image(file, limits) as image:
                image.load()
                orientation = _orientation(image)
    finally:
        file.seek(0)
    # Pillow gives TIFF alone its upright size in the header.
    if orientation >= 5 and stored_format != "TIFF":
        width_px, height_px = height_px, width_px
    return ImageHeader(stored_format, width_px, height_px, mode, orientation, frames)


def plain_suffix(file: BinaryIO, limits: ImageLimits) -> str | None:
    """Return `jpg` or `png` for an image that any decoder reads as `decode_image` does.

    That is one upright picture, grey or RGB of 8 bits, without transparency. None for any other:
    decode it here and hand on the pixels. Rewinds `file` to its start.

    Raises:
        InputRefused, OSError: as `inspect_image`.
    """
    header = inspect_image(file, limits)
    if header.orientation != 1 or header.frames != 1 or header.mode not in ("L", "RGB"):
        return None
    if header.format == "JPEG":
        return "jpg"
    if header.format != "PNG":
        return None
    try:
        with opened_image(file, limits, header_only=True) as image:
            return None if "transparency" in image.info else "png"
    finally:
        file.seek(0)


def decode_image(data: bytes | BinaryIO, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    """Decode an image to an upright RGB array.

    Args:
        data: the whole file, or a binary file that is read from where it stands.
        limits: bounds on bytes, pixels and sides, checked before pixels are decoded.

    Returns:
        Writable uint8 array of shape `(H, W, 3)`, RGB, EXIF orientation applied. The module's
        docstring has the rules for other bit depths, alpha and colour spaces.

    Raises:
        InputRefused: with a reason that the owner of the file can act on.
        OSError: the file itself could not be read.
    """
    if not isinstance(data, bytes):
        data = data.read(limits.max_bytes + 1)
    with opened_image(io.BytesIO(data), limits) as image:
        _check_mode(image.mode)
        shift = _excess_bits(image)
        image.load()
        orientation = _orientation(image)
        rgb = _to_rgb(image, shift)
        if orientation in _TRANSPOSE:
            rgb = rgb.transpose(_TRANSPOSE[orientation])
        return np.array(rgb)


def _to_rgb(image: Image.Image, shift: int) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        samples = np.asarray(image).astype(np.uint16, copy=False)
        return Image.fromarray((samples >> shift).astype(np.uint8)).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        upper = image.convert("RGBA")
        black = Image.new("RGBA", upper.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, upper).convert("RGB")
    return image.convert("RGB")


def _excess_bits(image: ImageFile.ImageFile) -> int:
    """Return by how many bits grey samples of more than 8 bits are too wide."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))
    return int(bits[0]) - 8 if bits[0] in (12, 16) else 8


def _check_mode(mode: str) -> None:
    if mode in ("I", "F"):
        raise InputRefused(
            "unsupported-media",
            "The image has 32-bit or floating-point samples, which have no agreed white.",
            "Save it with 8 or 16 bits a sample, with the brightness range that you want.",
        )
    if mode not in _OPAQUE_MODES | _ALPHA_MODES | _SIXTEEN_BIT_MODES:
        raise InputRefused(
            "unsupported-media",
            f"Images in the colour space {mode} are not decoded here; save it as RGB.",
        )


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of the pixels in memory, 1 where there is none to be read."""
    if len(image.info.get("exif") or b"") > _MAX_EXIF_BYTES:
        return 1
    try:
        # Past the override for PNG, which decodes all pixels to look behind them.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) and value in _TRANSPOSE else 1


def _count_frames(image: ImageFile.ImageFile) -> int:
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    frames = 1
    try:
        while frames < MAX_COUNTED_FRAMES:
            image.seek(frames)
            frames += 1
    except (*PILLOW_ERRORS, InputRefused):
        # The end of the pages, the end of patience, or damage behind the only page that counts.
        return frames
    return frames
