"""Run-length encoding of masks as COCO has it: columns first, compressed to ASCII.

The runs alternate between background and mask and begin with background, down the first column,
then the second. Compressed, a run is the difference to the one two before (from the fourth run
on), in groups of 5 bits, least significant first; a sixth bit says that more follow, and 48 is
added to make it a printable character. As `rleToString` of the COCO API does it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from formats.runs import Runs

_BITS: Final = 5
_SIGN: Final = 0x10
_MORE: Final = 0x20
_ASCII_BASE: Final = 48
_FIRST_DIFFERENCE: Final = 3  # of the runs, counted from 0
_MAX_GROUPS: Final = 13  # of a signed 64-bit number


def run_lengths(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the runs of a mask, bool `(H, W)`: background, mask, background, …

    >>> run_lengths(np.array([[False, True], [True, True]])).tolist()
    [1, 3]
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    if flat.size == 0:
        raise ValueError("a mask has at least one pixel")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges)
    return np.concatenate(([0], runs)) if flat[0] else runs


def compress(runs: npt.NDArray[np.int64]) -> str:
    """Return runs as COCO's ASCII string.

    >>> compress(np.array([1, 3]))
    '13'
    """
    return compress_all([runs])[0]


def compress_all(masks: Sequence[npt.NDArray[np.int64]]) -> list[str]:
    """Return the runs of several masks as COCO's ASCII strings.

    >>> compress_all([np.array([1, 3]), np.array([0, 4])])
    ['13', '04']
    """
    if not masks:
        return []
    counts = np.array([runs.size for runs in masks])
    runs = np.concatenate(masks).astype(np.int64)
    left = runs.copy()
    places = np.arange(runs.size) - np.repeat(np.cumsum(counts) - counts, counts)
    differing = np.flatnonzero(places >= _FIRST_DIFFERENCE)
    left[differing] -= runs[differing - 2]
    groups = np.zeros((left.size, _MAX_GROUPS), np.uint8)
    used = np.zeros(groups.shape, bool)
    open_ones = np.ones(left.size, bool)
    for column in range(_MAX_GROUPS):
        bits = left & (2**_BITS - 1)
        left >>= _BITS
        more = np.where(bits & _SIGN, left != -1, left != 0)
        groups[:, column] = bits | np.where(more, _MORE, 0)
        used[:, column] = open_ones
        open_ones &= more
        if not open_ones.any():
            break
    text = bytes(groups[used] + _ASCII_BASE).decode("ascii")
    ends = np.cumsum(used.sum(axis=1))[np.cumsum(counts) - 1].tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def decompress(counts: str) -> npt.NDArray[np.int64]:
    """Return the runs in COCO's ASCII string.

    >>> decompress("13").tolist()
    [1, 3]

    Raises:
        ValueError: it is no such string.
    """
    groups = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - _ASCII_BASE
    if groups.size == 0 or (groups < 0).any() or (groups >= 2 * _MORE).any():
        raise ValueError("not a compressed RLE")
    is_last = (groups & _MORE) == 0
    ends = np.flatnonzero(is_last)
    if not is_last[-1]:
        raise ValueError("the RLE ends too early")
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (ends - starts >= _MAX_GROUPS - 1).any():
        raise ValueError("a run of the RLE is too long")
    places = np.arange(groups.size) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((groups & (2**_BITS - 1)) << (_BITS * places), starts)
    negative = (groups[ends] & _SIGN) != 0
    runs -= np.where(negative, 1 << (_BITS * (ends - starts + 1)), 0)
    for first in (1, 2):  # from the fourth on, runs are the difference to the one two before
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def mask_pixels(counts: str, size: int) -> npt.NDArray[np.int64]:
    """Return the pixels of a mask as positions in column order.

    Args:
        counts: COCO's ASCII string.
        size: height × width of the mask.

    Raises:
        ValueError: not such a string, or of another size.
    """
    runs = decompress(counts)
    ends = np.cumsum(runs)
    if (runs < 0).any() or ends[-1] != size:
        raise ValueError(f"the runs do not add up to {size} pixels")
    firsts, lengths = (ends - runs)[1::2], runs[1::2]
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    pixels: npt.NDArray[np.int64] = np.repeat(firsts, lengths) + offsets
    return pixels


def encode_mask(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's `segmentation` of a mask, bool `(H, W)`: `size` and compressed `counts`."""
    return {"size": list(mask.shape), "counts": compress(run_lengths(mask))}


def encode_classes(
    size_hw: tuple[int, int], runs: Runs, class_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what `encode_mask` returns for classes of a label, from its runs column by column."""
    lengths, values = runs
    masks = [_joined(lengths, values == class_id) for class_id in class_ids]
    return [{"size": list(size_hw), "counts": counts} for counts in compress_all(masks)]


def _joined(lengths: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the runs of a mask; neighbours that are alike become one."""
    firsts = np.concatenate(([0], np.flatnonzero(inside[1:] != inside[:-1]) + 1))
    joined = np.add.reduceat(lengths, firsts)
    return np.concatenate(([0], joined)) if inside[0] else joined


def bounding_box(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return `[x, y, width, height]` of the pixels of a mask; zeros where there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return [0, 0, 0, 0]
    y, x = int(rows[0]), int(columns[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
