"""How long it takes to correct the regions of a job by pooled vectors, fit included.

Regions are made up: vectors around a centre for each class, some of them with a wrong class.
`benchmarks.scale` measures the memory of such a fit on a large job.
"""

import multiprocessing
import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console

from models.connectivity.config import FEATURE_GROUPS, CorrectConfig
from models.connectivity.correction import apply_correction, fit_correction
from models.connectivity.regions import Regions
from models.connectivity.sample import merge_parts, sample_of
from models.rle import Rle

GOAL_SECONDS: Final = 120.0
CLASSES: Final = 19
GROUPS: Final = {"appearance": 36, "region_model": 256, "segmenter": 64, "votes": 2 * CLASSES + 5}
IMAGE_REGIONS: Final = 100
WRONG: Final = 0.25


def measure(regions: int, threads: int, console: Console) -> dict[str, Any]:
    """Sample, fit and decide in a process of its own, 100 regions an image."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply(correct_made_up_regions, (regions // IMAGE_REGIONS, threads))
    console.print(f"{result['regions']} regions: {result['seconds']:.1f} s", style="dim")
    return {**result, "goal_seconds": GOAL_SECONDS, "reached": result["seconds"] <= GOAL_SECONDS}


def correct_made_up_regions(images: int, threads: int) -> dict[str, Any]:
    """Seconds by the clock, by step, and of processor time; the making up does not count.

    The job's own classifier reads every group of features, which takes longest.
    """
    import torch

    torch.set_num_threads(threads)
    job = {f"image {number}": _regions(number) for number in range(images)}
    marks = [time.perf_counter()]
    processor = time.process_time()
    sample = merge_parts(sample_of(regions, name, 0) for name, regions in job.items())
    if sample is None:
        raise ValueError("a job without images has no regions")
    marks.append(time.perf_counter())
    fit = fit_correction(sample, CorrectConfig(mode="mixture", features=FEATURE_GROUPS))
    marks.append(time.perf_counter())
    for name, regions in job.items():
        apply_correction(fit, regions, name)
    marks.append(time.perf_counter())
    steps = np.diff(marks).tolist()
    return {
        "regions": images * IMAGE_REGIONS,
        "width": sample.vectors.shape[1],
        "seconds": sum(steps),
        "processor_seconds": time.process_time() - processor,
        "parts_seconds": dict(zip(("sample", "fit", "decide"), steps, strict=True)),
        "decided_by": fit.decided_by,
        "rounds": fit.rounds,
    }


def _regions(number: int) -> Regions:
    given, features = _vectors(np.random.default_rng([1, number]))
    return Regions(
        size_hw=(1, 1),
        rles=[Rle((1, 1), np.array([0, 1], np.uint32))] * IMAGE_REGIONS,
        boxes_xyxy=np.tile(np.array([0, 0, 1, 1], np.int32), (IMAGE_REGIONS, 1)),
        areas_px=np.ones(IMAGE_REGIONS, np.int64),
        classes=given,
        votes=np.eye(CLASSES, dtype=np.float32)[given],
        quality=np.ones(IMAGE_REGIONS, np.float32),
        confidence=np.full(IMAGE_REGIONS, 0.9, np.float32),
        features=features,
    )


def _vectors(
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[np.float16]]]:
    """Classes given, uint8 (100,), and features that speak for the true ones."""
    true = rng.integers(0, CLASSES, IMAGE_REGIONS)
    wrong = rng.random(IMAGE_REGIONS) < WRONG
    given = (true + wrong * rng.integers(1, CLASSES, IMAGE_REGIONS)) % CLASSES
    features = {}
    for name, width in GROUPS.items():
        centres = np.random.default_rng(width).normal(0, 0.3, (CLASSES, width))
        noise = rng.standard_normal((IMAGE_REGIONS, width))
        features[name] = (centres[true] + noise).astype(np.float16)
    return given.astype(np.uint8), features
