"""The run-length code of Label Studio's brush regions (`value.rle`), a list of bytes.

It is not that of COCO. The mask is written out as RGBA, row by row, all four channels alike: 0 or
255. Then, most significant bit first: the number of values (32 bits), the bits of a value less one
(5), the bits of the four lengths less one (4 each), and runs: a bit that tells runs from literals,
which of the four lengths is used (2), the length less one, the value or values. Readers take the
fourth channel.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from formats.errors import InputRefused
from formats.runs import Runs, row_runs

CHANNELS: Final = 4
_COUNT_BITS: Final = 32
_VALUE_BITS: Final = 8
_LENGTH_BITS: Final = (3, 4, 8, 16)
_LONGEST_RUN: Final = 1 << _LENGTH_BITS[-1]
_HEADER_BITS: Final = _COUNT_BITS + 5 + 4 * len(_LENGTH_BITS)
_MAX_RLE_BYTES: Final = 64 << 20


def encode_class(runs: Runs, class_id: int) -> list[int]:
    """Return the code of the pixels of one class, from the runs of a whole label."""
    lengths, values = runs
    return _encode(lengths, values == class_id)


def encode_brush(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Return the code of a mask, bool `(H, W)`.

    >>> encode_brush(np.array([[True]]))
    [0, 0, 0, 4, 57, 27, 252, 127, 224]
    """
    lengths, values = row_runs(mask.view(np.uint8))
    return _encode(lengths, values == 1)


def _encode(lengths: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> list[int]:
    """Pack runs of a mask; neighbours that are alike become one."""
    firsts = np.concatenate(([0], np.flatnonzero(inside[1:] != inside[:-1]) + 1))
    runs, is_mask = _split(np.add.reduceat(lengths, firsts) * CHANNELS, inside[firsts])
    widths = np.asarray(_LENGTH_BITS)
    selectors = np.searchsorted(1 << widths, runs)
    bits = widths[selectors]
    codes = (((4 | selectors) << bits) | (runs - 1)) << _VALUE_BITS
    codes |= np.where(is_mask, 2**_VALUE_BITS - 1, 0)
    sizes = 3 + bits + _VALUE_BITS
    header = [int(lengths.sum()) * CHANNELS, _VALUE_BITS - 1, *(width - 1 for width in widths)]
    head_sizes = [_COUNT_BITS, 5, *(4 for _ in widths)]
    packed = _pack(np.concatenate((header, codes)), np.concatenate((head_sizes, sizes)))
    codes_out: list[int] = packed.tolist()
    return codes_out


def _split(
    runs: npt.NDArray[np.int64], is_mask: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Cut runs that are too long for the code."""
    pieces = -(-runs // _LONGEST_RUN)
    if pieces.max() == 1:
        return runs, is_mask
    cut = np.full(int(pieces.sum()), _LONGEST_RUN, np.int64)
    lasts = np.cumsum(pieces) - 1
    cut[lasts] = runs - (pieces - 1) * _LONGEST_RUN
    return cut, np.repeat(is_mask, pieces)


def _pack(codes: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Write numbers of up to 32 bits one behind the other, each with its number of bits."""
    # left-aligned in 32 bits, so that the first byte of a number is its first eight bits
    aligned = (codes << (32 - sizes)).astype(">u4").view(np.uint8).reshape(-1, 4)
    bits = np.unpackbits(aligned, axis=1)
    used = np.arange(32, dtype=np.uint8) < sizes.astype(np.uint8)[:, None]
    packed: npt.NDArray[np.uint8] = np.packbits(bits[used])
    return packed


def decode_brush(rle: list[int], height_px: int, width_px: int) -> npt.NDArray[np.uint8]:
    """Return the fourth channel of a brush region, uint8 `(H, W)`; 128 and more is inside.

    Raises:
        InputRefused: `label-invalid`: no such code, or of another size.
    """
    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise _refused("is no list of bytes") from error
    wanted = height_px * width_px * CHANNELS
    if len(data) > _MAX_RLE_BYTES or len(data) * 8 < _HEADER_BITS:
        raise _refused("is too short or too long")
    reader = _BitReader(data)
    count, value_bits = reader.take(_COUNT_BITS), reader.take(5) + 1
    widths = [reader.take(4) + 1 for _ in _LENGTH_BITS]
    if value_bits != _VALUE_BITS:
        raise _refused(f"has values of {value_bits} bits; {_VALUE_BITS} are read")
    if count != wanted:
        raise _refused(f"has {count} values; {width_px} × {height_px} pixels have {wanted}")
    values, lengths = _tokens(reader, widths, count)
    rgba = np.repeat(np.array(values, np.uint8), lengths)
    return rgba.reshape(height_px, width_px, CHANNELS)[:, :, CHANNELS - 1].copy()


def _tokens(reader: "_BitReader", widths: list[int], count: int) -> tuple[list[int], list[int]]:
    values: list[int] = []
    lengths: list[int] = []
    left = count
    while left > 0:
        is_run = reader.take(1)
        length = reader.take(widths[reader.take(2)]) + 1
        if length > left:
            raise _refused("has more values than it says")
        left -= length
        for _ in range(1 if is_run else length):
            values.append(reader.take(_VALUE_BITS))
            lengths.append(length if is_run else 1)
    return values, lengths


class _BitReader:
    """Numbers of up to 32 bits out of bytes, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, bits: int) -> int:
        first, offset = divmod(self._at, 8)
        self._at += bits
        if self._at > len(self._data) * 8:
            raise _refused("ends too early")
        window = int.from_bytes(self._data[first : first + 5].ljust(5, b"\0"), "big")
        return (window >> (40 - offset - bits)) & ((1 << bits) - 1)


def _refused(what: str) -> InputRefused:
    return InputRefused("label-invalid", f"The RLE of the brush region {what}.")
