"""Integer arrays as small JSON: only the cells that are not 0 are written.

A chunk sees few confidence levels and few confusions; with 150 classes the dense form of its
counts would be hundreds of kB of zeros.
"""

from typing import Any

import numpy as np

from models.metrics.confusion import Counts


def counts_to_json(counts: Counts) -> dict[str, Any]:
    """The array as {"shape", "index": flat positions, "count": values there}."""
    flat = counts.ravel()
    index = np.flatnonzero(flat)
    return {"shape": list(counts.shape), "index": index.tolist(), "count": flat[index].tolist()}


def counts_from_json(document: dict[str, Any], shape: tuple[int, ...]) -> Counts:
    """The array of `counts_to_json`.

    Raises:
        ValueError: the document has another shape, or positions outside it.
    """
    if tuple(document["shape"]) != shape:
        raise ValueError(f"counts have shape {document['shape']}, expected {list(shape)}")
    index = np.asarray(document["index"], dtype=np.int64)
    flat = np.zeros(int(np.prod(shape)), dtype=np.int64)
    if index.size and (index.min() < 0 or index.max() >= flat.size):
        raise ValueError(f"counts have positions outside their shape {list(shape)}")
    flat[index] = np.asarray(document["count"], dtype=np.int64)
    return flat.reshape(shape)
