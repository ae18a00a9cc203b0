"""Arrays to bytes and back, without pickle."""

import io
import zipfile
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]


def pack(arrays: Arrays) -> bytes:
    """Return arrays as npz bytes; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes) -> Arrays:
    """Return the arrays of npz bytes; nothing is unpickled.

    Raises:
        ValueError: the bytes are no npz, or hold objects.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as error:
        raise ValueError(f"these bytes are no npz: {error}") from error
