"""Opening an image that nobody vouches for: limits first, Pillow after, one kind of error out.

Every way into Pillow's decoders goes through `opened_image`. Nothing global is changed per call,
so any number of threads may decode at once. Pillow's own bomb check (a warning above
`Image.MAX_IMAGE_PIXELS`, an error above twice that) stays as it is; ours is stricter, per call,
and comes before any pixel memory is allocated.
"""

import errno
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO, Final, cast

# The plugins register themselves when imported: no lazy initialisation is left to the threads.
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from formats.errors import InputRefused
from formats.headers import WEBP_HEADER_BYTES, webp_size
from formats.metering import MeteredFile
from formats.sniffing import HEAD_BYTES, PACKED_KINDS, sniff_media

IMAGE_FORMATS: Final = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        TiffImagePlugin.TiffImageFile,
        BmpImagePlugin.BmpImageFile,
    )
)
# A JPEG with more than one picture (phones write them) is opened as JPEG and becomes this one.
MULTI_PICTURE: Final = MpoImagePlugin.MpoImageFile.format
_PILLOW_MAX_PIXELS: Final = 2 * int(1024**3 // 4 // 3)
_ACCEPTED: Final = "JPEG, PNG, WebP, TIFF or BMP"

# Pages of EXIF, colour profiles and depth maps of phones fit. TIFF has less, since the table of
# its tiles becomes one object an entry; WebP has none, its plugin reads the whole file at once.
_MAX_HEADER_BYTES: Final = {"JPEG": 8 << 20, "PNG": 8 << 20, "BMP": 8 << 20, "TIFF": 2 << 20}

# What Pillow's plugins raise on damaged or hostile bytes. Beside its documented OSError
# (UnidentifiedImageError included) and SyntaxError, the parsers let the errors of struct, zlib,
# dict and sequence access, arithmetic and the C core through.
PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    SystemError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# Plugins warn about odd metadata with text taken from the file. Such a warning helps nobody and
# would stay in the registry of warnings of a long-lived process.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class ImageLimits:
    """What one image may cost.

    Attributes:
        max_pixels: width x height; decoding takes about 10 bytes of memory a pixel.
        max_side_px: longest side.
        max_bytes: size of the file.
    """

    max_pixels: int = 64_000_000
    max_side_px: int = 32_768
    max_bytes: int = 100_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= _PILLOW_MAX_PIXELS:
            raise ValueError(f"max_pixels must be 1 ... {_PILLOW_MAX_PIXELS}")
        if self.max_side_px < 1 or self.max_bytes < 1:
            raise ValueError("max_side_px and max_bytes must be at least 1")


@contextmanager
def opened_image(
    file: BinaryIO,
    limits: ImageLimits,
    formats: tuple[str, ...] = IMAGE_FORMATS,
    *,
    header_only: bool = False,
) -> Iterator[ImageFile.ImageFile]:
    """Yield the image in `file`, header read and limits checked; errors inside become refusals.

    Args:
        file: seekable, read from its start; left open, position undefined.
        limits: checked on the header, before pixel memory is allocated.
        formats: names of Pillow formats that are accepted.
        header_only: keep the bound on header bytes in force inside the `with` block.

    Raises:
        InputRefused: `empty-file`, `not-an-image`, `unsupported-media`, `image-too-large` or
            `image-undecodable`, also for what the body of the `with` block meets in Pillow.
        OSError: the file itself could not be read.
    """
    head = _checked_head(file, limits)
    kind = sniff_media(head)
    if kind not in formats:
        raise _wrong_kind(kind, formats)
    if kind == "WEBP" and (size := webp_size(head)):
        check_size(*size, limits)
    metered = MeteredFile(file, _MAX_HEADER_BYTES.get(kind))
    try:
        with Image.open(cast(BinaryIO, metered), formats=formats) as image:
            check_size(*image.size, limits)
            if not header_only:
                metered.lift_bytes()
            yield image
    except Image.DecompressionBombError as error:
        raise InputRefused(
            "image-too-large",
            f"The image declares far more than the {limits.max_pixels / 1e6:g} megapixels "
            "that are accepted.",
            "Scale it down or cut it into tiles.",
        ) from error
    except UnidentifiedImageError as error:
        raise InputRefused(
            "image-undecodable",
            f"The header of the {kind} file is damaged, or of a variant that is not decoded here.",
            "Save the image as 8-bit RGB in PNG or JPEG and upload it again.",
        ) from error
    except PILLOW_ERRORS as error:
        # A disk that fails is no fault of the image. EINVAL is: a seek to a nonsensical offset.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise InputRefused(
            "image-undecodable",
            f"The {kind} file is damaged or cut short and cannot be decoded.",
            "Open it in an image viewer to see how far it goes, then export or upload it again.",
        ) from error


def check_size(width_px: int, height_px: int, limits: ImageLimits) -> None:
    """Raise `InputRefused` unless the limits allow an image of this size."""
    if width_px < 1 or height_px < 1:
        raise InputRefused("image-undecodable", "The image declares a width or height of zero.")
    pixels = width_px * height_px
    if pixels > limits.max_pixels:
        raise InputRefused(
            "image-too-large",
            f"The image has {width_px} x {height_px} = {pixels / 1e6:.1f} megapixels; "
            f"at most {limits.max_pixels / 1e6:g} are accepted.",
            "Scale it down or cut it into tiles.",
        )
    if max(width_px, height_px) > limits.max_side_px:
        raise InputRefused(
            "image-too-large",
            f"The image is {width_px} x {height_px} pixels; "
            f"no side may be longer than {limits.max_side_px}.",
            "Cut it into tiles.",
        )


def _checked_head(file: BinaryIO, limits: ImageLimits) -> bytes:
    size_bytes = file.seek(0, SEEK_END)
    if size_bytes == 0:
        raise InputRefused("empty-file", "The file is empty (0 bytes).")
    if size_bytes > limits.max_bytes:
        raise InputRefused(
            "image-too-large",
            f"The file has {size_bytes / 1e6:.1f} MB; at most {limits.max_bytes / 1e6:g} MB "
            "are accepted.",
        )
    file.seek(0)
    return file.read(max(HEAD_BYTES, WEBP_HEADER_BYTES))


def _wrong_kind(kind: str | None, formats: tuple[str, ...]) -> InputRefused:
    accepted = _ACCEPTED if formats == IMAGE_FORMATS else " or ".join(formats)
    if kind is None:
        return InputRefused(
            "not-an-image", f"The content is not an image that is known here; send {accepted}."
        )
    return InputRefused(
        "unsupported-media",
        f"The content is {kind}, which is not accepted here; send {accepted}.",
        "Archives of images may be zip, tar or tar.gz." if kind in PACKED_KINDS else None,
    )
