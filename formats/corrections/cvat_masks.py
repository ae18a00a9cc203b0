"""CVAT's "Segmentation mask 1.1": class masks in colour, and a `labelmap.txt`."""

import io
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from formats.archive_members import ArchiveMember
from formats.archives import iter_zip_members
from formats.corrections.masks import ClassMap, FoundMask, Label, ReadLimits, require_size, stem
from formats.errors import InputRefused
from formats.index_png import IGNORE_INDEX
from formats.opening import opened_image

LABEL_MAP: Final = "labelmap.txt"
FOLDER: Final = "SegmentationClass/"
_BACKGROUND: Final = 0  # black: no class
_MAX_LABEL_MAP_BYTES: Final = 1 << 20


def read_cvat_masks(file: BinaryIO, classes: ClassMap, limits: ReadLimits) -> Iterator[FoundMask]:
    """Yield the class masks of a zip that CVAT exported.

    Raises:
        InputRefused: it is no zip, or has no `labelmap.txt` that can be read.
    """
    colours = _colours(file, limits)
    for member in iter_zip_members(file, limits.archive):
        before, folder, name = member.name.partition(FOLDER)
        if not folder or (before and not before.endswith("/")):
            continue
        if not name.lower().endswith(".png"):
            continue
        decode = partial(_decode, member, colours, classes, limits)
        bare = stem(name)
        yield FoundMask(member.name, (bare, bare.rsplit("/", 1)[-1]), decode)


def _colours(file: BinaryIO, limits: ReadLimits) -> dict[int, str]:
    """Return colour as a number → class name."""
    for member in iter_zip_members(file, limits.archive):
        if member.name.rsplit("/", 1)[-1] == LABEL_MAP:
            with member.open() as opened:
                data = opened.read(_MAX_LABEL_MAP_BYTES + 1)
            if len(data) > _MAX_LABEL_MAP_BYTES:
                raise _bad_map("is too large")
            return _parsed(data)
    raise _bad_map("is missing. Export as 'Segmentation mask 1.1'")


def _parsed(data: bytes) -> dict[int, str]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_map("is not in UTF-8") from error
    found: dict[int, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = line.split(":")
        channels = fields[1].split(",") if len(fields) >= 2 else []
        if len(channels) != 3 or not all(
            c.strip().isascii() and c.strip().isdigit() for c in channels
        ):
            raise _bad_map(f"has a line that is not name:r,g,b:parts:actions: '{line[:80]}'")
        red, green, blue = (int(c) for c in channels)
        if max(red, green, blue) > 255:
            raise _bad_map(f"has a colour beyond 255: '{line[:80]}'")
        colour = red << 16 | green << 8 | blue
        if colour in found:
            raise _bad_map(f"gives '{found[colour][:80]}' and '{fields[0][:80]}' one colour")
        found[colour] = fields[0]
    return found


def _decode(
    member: ArchiveMember,
    colours: dict[int, str],
    classes: ClassMap,
    limits: ReadLimits,
    height_px: int,
    width_px: int,
) -> Label:
    with member.open() as opened:
        data = opened.read()
    with opened_image(io.BytesIO(data), limits.image, ("PNG",)) as image:
        rgb: npt.NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    require_size(rgb, height_px, width_px)
    wide = rgb.astype(np.uint32)
    codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    values, inverse = np.unique(codes, return_inverse=True)
    indices = [_index_of(int(value), colours, classes) for value in values]
    return np.asarray(indices, np.uint8)[inverse].reshape(height_px, width_px)


def _index_of(colour: int, colours: dict[int, str], classes: ClassMap) -> int:
    if colour == _BACKGROUND:
        return IGNORE_INDEX
    if colour not in colours:
        raise InputRefused(
            "label-invalid",
            f"The mask has the colour {colour >> 16},{colour >> 8 & 255},{colour & 255}, which "
            "labelmap.txt does not name.",
        )
    return classes.index_of(colours[colour])


def _bad_map(what: str) -> InputRefused:
    return InputRefused("classes-invalid", f"labelmap.txt {what}.")
