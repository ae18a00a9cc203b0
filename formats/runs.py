"""Runs of equal values in a label, and what is quicker to find from them than from the pixels."""

import numpy as np
import numpy.typing as npt

# Lengths and values, in the order in which the label is read.
Runs = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]


def row_runs(label: npt.NDArray[np.uint8]) -> Runs:
    """Return lengths and values of the runs of a label, uint8 `(H, W)`, row by row.

    >>> [part.tolist() for part in row_runs(np.array([[7, 7], [7, 9]], np.uint8))]
    [[3, 1], [7, 9]]
    """
    return _runs_of(label.ravel())


def column_runs(label: npt.NDArray[np.uint8]) -> Runs:
    """Return lengths and values of the runs of a label, uint8 `(H, W)`, column by column.

    >>> [part.tolist() for part in column_runs(np.array([[7, 9], [7, 9]], np.uint8))]
    [[2, 2], [7, 9]]
    """
    return _runs_of(label.ravel(order="F"))


def pixels_by_value(runs: Runs) -> npt.NDArray[np.int64]:
    """Return how many pixels have each of the values 0 to 255, int64 `(256,)`.

    >>> pixels_by_value(row_runs(np.array([[1, 1], [1, 0]], np.uint8)))[:3].tolist()
    [1, 3, 0]
    """
    lengths, values = runs
    # floats hold whole numbers exactly up to 2**53
    return np.bincount(values, weights=lengths, minlength=256).astype(np.int64)


def sums_by_value(runs: Runs, map_in_same_order: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the sum of a map over the pixels of each of the values 0 to 255, int64 `(256,)`.

    Args:
        runs: of a label.
        map_in_same_order: uint8 `(H * W,)`, read row by row or column by column as the label was.
    """
    lengths, values = runs
    sums = np.add.reduceat(map_in_same_order, np.cumsum(lengths) - lengths, dtype=np.int64)
    return np.bincount(values, weights=sums, minlength=256).astype(np.int64)


def _runs_of(flat: npt.NDArray[np.uint8]) -> Runs:
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return np.diff(np.concatenate((starts, [flat.size]))), flat[starts]
