"""What the readers of exports have in common: a mask with names to match, decoded when wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from formats.archive_rules import ArchiveLimits
from formats.errors import InputRefused
from formats.index_png import IGNORE_INDEX
from formats.opening import ImageLimits

Label = npt.NDArray[np.uint8]
MAX_JSON_BYTES: Final = 1 << 30
_SHOWN_CHARS: Final = 80


@dataclass(frozen=True)
class ReadLimits:
    """Bounds for files that nobody vouches for."""

    image: ImageLimits
    archive: ArchiveLimits


@dataclass(frozen=True)
class FoundMask:
    """The mask of one image.

    Attributes:
        name: the file, or the image, as the export names it.
        image_names: by which its image may be known, the likeliest first.
        decode: height and width of the image in pixels → class indices, uint8 `(H, W)`, 255 =
            ignore; raises InputRefused. Call it before the next mask is taken.
    """

    name: str
    image_names: tuple[str, ...]
    decode: Callable[[int, int], Label]


@dataclass(frozen=True)
class ClassMap:
    """The classes that masks are mapped to, by name.

    Attributes:
        names: of the classes, by index.
        ignore_unknown: pixels of other classes become 255; else the mask is refused.
        spelled: other spellings → index, such as those that a tool can keep.
    """

    names: tuple[str, ...]
    ignore_unknown: bool = False
    spelled: dict[str, int] = field(default_factory=dict)

    def index_of(self, name: str) -> int:
        """Return the index of a class, 255 for one that is ignored.

        Raises:
            InputRefused: `classes-invalid`: there is no such class.
        """
        if name in self.names:
            return self.names.index(name)
        if name in self.spelled:
            return self.spelled[name]
        if self.ignore_unknown:
            return IGNORE_INDEX
        raise InputRefused(
            "classes-invalid",
            f"The labels have no class '{name[:_SHOWN_CHARS]}'; they have "
            f"{', '.join(self.names)[:500]}. Rename it, or ignore unknown classes.",
        )


def size_refused(found: Sequence[int], height_px: int, width_px: int) -> InputRefused:
    """Return the refusal of a mask whose size is not that of its image."""
    return InputRefused(
        "label-invalid",
        f"The mask is {found[1]}×{found[0]} pixels, its image {width_px}×{height_px} (upright). "
        "Export the mask at the size of the image.",
    )


def require_size(label: npt.NDArray[np.generic], height_px: int, width_px: int) -> None:
    """Refuse a mask of another size.

    Raises:
        InputRefused: `label-invalid`.
    """
    if label.shape[:2] != (height_px, width_px):
        raise size_refused(label.shape, height_px, width_px)


def read_bounded(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the whole file.

    Raises:
        InputRefused: `manifest-too-large`.
    """
    file.seek(0)
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise InputRefused(
            "manifest-too-large",
            f"The file is larger than {max_bytes >> 20} MiB. Export it in several parts.",
        )
    return data


def stem(name: str) -> str:
    """Return a path without the suffix of its file.

    >>> stem("a.b/c.d.png"), stem("a.b/c")
    ('a.b/c.d', 'a.b/c')
    """
    folder, slash, file_name = name.rpartition("/")
    return f"{folder}{slash}{file_name.rpartition('.')[0] or file_name}"
