"""Random choices as a function of (seed, purpose, step, sample).

There is no generator whose state would have to be kept: a run that is resumed at a step draws what
an undisturbed one draws there, and so do two processes that share a batch.
"""

import zlib

import numpy as np
import torch


def keyed_rng(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """A generator of its own for one choice.

    Args:
        seed: of the run, >= 0.
        purpose: what is drawn, for example "class-mix"; different ones are independent.
        key: step, number of the sample in the step over all processes, or the like, each >= 0.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *key])


def keyed_generator(seed: int, purpose: str, *key: int) -> torch.Generator:
    """As `keyed_rng`, for torch; draws on the CPU."""
    drawn = int(keyed_rng(seed, purpose, *key).integers(1 << 62))
    return torch.Generator().manual_seed(drawn)
