"""Tiles of smooth random noise, made once per process and sampled with random offsets."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

TILE_PX = 512

# Layers of each kind: (smoothing sigma in pixels, weight).
_OCTAVES = {
    "fine": ((0, 1.0), (1, 0.7)),
    "leaves": ((1, 0.5), (2, 1.0), (4, 0.6)),
    "asphalt": ((0, 0.8), (2, 0.4), (8, 0.5), (32, 0.6)),
    "clouds": ((6, 0.2), (14, 0.5), (30, 1.0), (60, 1.4)),
}


@cache
def noise_tile(kind: str) -> Floats:
    """Float32 [512, 512] of zero mean and unit deviation that wraps around at its edges.

    `fine` is nearly white, `leaves` has spots of a few pixels, `asphalt` mixes fine grain with
    stains, `clouds` is dominated by large shapes.
    """
    octaves = _OCTAVES[kind]
    rng = np.random.default_rng([7, list(_OCTAVES).index(kind)])
    total = np.zeros((TILE_PX, TILE_PX), np.float32)
    for sigma_px, weight in octaves:
        layer = rng.standard_normal((TILE_PX, TILE_PX), dtype=np.float32)
        if sigma_px:
            margin = 4 * sigma_px
            smooth = cv2.GaussianBlur(np.pad(layer, margin, mode="wrap"), (0, 0), sigma_px)
            layer = np.asarray(smooth[margin:-margin, margin:-margin], np.float32)
        total += np.float32(weight) * layer / layer.std()
    total -= total.mean()
    return np.asarray(total / total.std(), np.float32)


def noise_patch(kind: str, size_hw: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A random window of a tile, float32 of shape `size_hw`; it wraps beyond 512 pixels."""
    height, width = size_hw
    top, left = (int(v) for v in rng.integers(0, TILE_PX, 2))
    rows = np.arange(top, top + height) % TILE_PX
    columns = np.arange(left, left + width) % TILE_PX
    return np.asarray(noise_tile(kind)[np.ix_(rows, columns)])


def noise_at(kind: str, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """The tile at real-valued places (one unit is one pixel of the tile), nearest neighbour."""
    offset = rng.integers(0, TILE_PX, 2)
    columns = (np.floor(x).astype(np.int32) + int(offset[0])) & (TILE_PX - 1)
    rows = (np.floor(y).astype(np.int32) + int(offset[1])) & (TILE_PX - 1)
    return np.asarray(noise_tile(kind)[rows, columns])
