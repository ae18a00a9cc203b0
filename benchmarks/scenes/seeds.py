"""Seed ranges with one purpose each, and the random streams drawn from one scene's seed."""

import numpy as np

GENERATOR_VERSION = 1

SEED_RANGES = {
    "fit": range(0, 1_000_000),
    "choose": range(1_000_000, 2_000_000),
    "test": range(2_000_000, 3_000_000),
}
"""Fit models on `fit`, choose settings on `choose`, report figures on `test`; never mix them."""

_LAYOUT_STREAM = 0


def layout_rng(seed: int) -> np.random.Generator:
    """The stream that decides geometry and materials: the same in every style."""
    return np.random.default_rng([GENERATOR_VERSION, _LAYOUT_STREAM, seed])


def style_rng(style_code: int, seed: int) -> np.random.Generator:
    """The stream that decides light, weather and sensor in the style of the given code (>= 1)."""
    return np.random.default_rng([GENERATOR_VERSION, style_code, seed])


def split_seeds(split: str, count: int, offset: int = 0) -> range:
    """The `count` seeds of a split from `offset` on.

    Raises:
        ValueError: the split has fewer seeds than asked for.
    """
    seeds = SEED_RANGES[split][offset : offset + count]
    if len(seeds) != count:
        raise ValueError(f"split {split!r} has no {count} seeds from {offset} on")
    return seeds
