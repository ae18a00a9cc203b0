"""Memory and time of the fit of a job-wide correction: parts of a sample, made as they are read."""

import multiprocessing
import resource
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from rich.console import Console

from models.connectivity.config import CorrectConfig
from models.connectivity.correction import fit_correction
from models.connectivity.sample import MOST_VECTORS, Sample, merge_parts

IMAGES_PER_PART: Final = 64
CLASSES: Final = 19
GROUPS: Final = {"appearance": 48, "region_model": 256, "segmenter": 256, "votes": 2 * CLASSES + 5}
WRONG: Final = 0.2
_POOL: Final = 20_000


def measure(images: int, regions: int, threads: int, progress: Console) -> dict[str, Any]:
    """Merge the parts of a job and fit on them, in a process of its own.

    Returns:
        `peak_bytes` of the process, `seconds` of both steps, the `vectors` that were fitted on and
        who decides.
    """
    progress.print(f"  {images} images of {regions} regions")
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_fit, (images, regions, threads))


def _fit(images: int, regions: int, threads: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(threads)
    started = time.perf_counter()
    sample = merge_parts(_parts(images, regions))
    merged = time.perf_counter()
    if sample is None:
        raise ValueError("a job without images has no sample")
    fit = fit_correction(sample, CorrectConfig())
    return {
        "images": images,
        "regions": images * regions,
        "vectors": len(sample),
        "most_vectors": MOST_VECTORS,
        "width": sample.vectors.shape[1],
        "decided_by": fit.decided_by,
        "merge_seconds": merged - started,
        "fit_seconds": time.perf_counter() - merged,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _parts(images: int, regions: int) -> Iterator[Sample]:
    """Yield parts of 64 images: features around a centre of the true class, a fifth flipped."""
    rng = np.random.default_rng(0)
    width = sum(GROUPS.values())
    centres = rng.normal(size=(CLASSES, width)).astype(np.float16)
    true_of_pool = rng.integers(0, CLASSES, _POOL).astype(np.uint8)
    noise = rng.standard_normal((_POOL, width), np.float32).astype(np.float16)
    pool = centres[true_of_pool] + 2 * noise
    for first in range(0, images, IMAGES_PER_PART):
        here = min(IMAGES_PER_PART, images - first)
        rows = rng.integers(0, _POOL, here * regions)
        given = true_of_pool[rows]
        flipped = rng.random(len(rows)) < WRONG
        given[flipped] = rng.integers(0, CLASSES, int(flipped.sum()))
        keys = rng.integers(0, 256, (len(rows), 32), np.uint8)
        image_keys = np.repeat(rng.integers(0, 2**63, here).astype(np.uint64), regions)
        order = np.lexsort(np.ascontiguousarray(keys).view(">u8").T[::-1])
        yield Sample(
            CLASSES, dict(GROUPS), keys[order], image_keys[order], given[order], pool[rows[order]]
        )
