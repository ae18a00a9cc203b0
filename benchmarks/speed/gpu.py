"""Speed of the label path on a GPU, without the service: `python -m benchmarks.speed.gpu`.

Images per second and the most memory taken, of `predict` by size, batch and precision, and of the
stages `rectify` and `aggregate` by size. Model and region model are those of the demo. Needs only
what `models` needs; on a machine without a GPU it measures the CPU.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine_facts
from benchmarks.scenes import generate_scene, split_seeds
from benchmarks.speed.images import STYLE
from models.config import PipelineConfig, PredictConfig, SelectConfig
from models.connectivity.config import AggregateConfig, ProposalsConfig
from models.pipeline import LabelPipeline
from models.prediction import Prediction, Predictor, RgbImage
from models.promptable.builtin import load_built_in
from models.rectification.config import RectifyConfig
from models.segmentation.base import SegmentationModel
from models.segmentation.loading import load_model

DEMO_MODEL: Final = Path(__file__).parents[2] / "examples" / "demo_model"
# "tf32" is float32 whose convolutions round their inputs, as torch has it by default; label workers
# turn that off.
PRECISIONS: Final = ("float32", "tf32", "bfloat16")
REGION_MODELS: Final = (("nano", "exact"), ("nano", "fast"), ("graph", "fast"))

Row = dict[str, Any]


@dataclass(frozen=True)
class GpuPlan:
    """What is measured.

    Attributes:
        sizes_hw: of the images, in pixels; small ones first, they warm the others up.
        batches: images, or windows of a large image, in one forward pass.
        seconds: a measurement is repeated until it has taken so long.
        points_per_side: of the grid of proposals; None: the region model's own.
    """

    sizes_hw: tuple[tuple[int, int], ...] = ((360, 480), (1024, 2048))
    batches: tuple[int, ...] = (1, 8)
    seconds: float = 1.0
    points_per_side: int | None = None


def measure(plan: GpuPlan, device: torch.device, console: Console) -> dict[str, list[Row]]:
    """Rows of each stage."""
    model = load_model(DEMO_MODEL, str(device))
    found: dict[str, list[Row]] = {"predict": [], "rectify": [], "aggregate": []}
    for size_hw in plan.sizes_hw:
        console.print(f"{size_hw[0]} x {size_hw[1]}", style="bold")
        seeds = split_seeds("choose", max(plan.batches))
        images = [generate_scene(STYLE, seed, size_hw).image for seed in seeds]
        found["predict"] += _predict_rows(model, images, plan)
        found["rectify"] += _rectify_rows(model, images[0], plan)
        found["aggregate"] += _aggregate_rows(model, images[0], plan)
    return found


def _predict_rows(model: SegmentationModel, images: list[RgbImage], plan: GpuPlan) -> list[Row]:
    rows = []
    for batch in plan.batches:
        for precision in PRECISIONS:
            reduced = "bfloat16" if precision == "bfloat16" else "float32"
            predictor = Predictor(model, PredictConfig(batch_size=batch, precision=reduced))

            def label(predictor: Predictor = predictor) -> None:
                for _ in predictor.predict(images):
                    pass

            with _tf32(precision == "tf32"):
                label()
                row = _timed(label, len(images), model.device, plan.seconds)
            rows.append({**_size(images[0]), "batch": batch, "precision": precision, **row})
    return rows


def _rectify_rows(model: SegmentationModel, image: RgbImage, plan: GpuPlan) -> list[Row]:
    rows = []
    for mode in ("exact", "coarse"):
        config = PipelineConfig(rectify=RectifyConfig(mode=mode))
        pipeline = LabelPipeline(model, config)
        (seen,) = pipeline.look([image])

        def rectify(pipeline: LabelPipeline = pipeline, seen: Prediction = seen) -> None:
            pipeline.rectify(seen)

        row = _timed(rectify, 1, model.device, plan.seconds)
        rows.append({**_size(image), "mode": mode, **row})
    return rows


def _aggregate_rows(model: SegmentationModel, image: RgbImage, plan: GpuPlan) -> list[Row]:
    rows = []
    base = PipelineConfig(select=SelectConfig(scope="image"))
    for name, mode in REGION_MODELS:
        proposals = ProposalsConfig(points_per_side=plan.points_per_side, mode=mode)
        config = replace(base, aggregate=AggregateConfig(proposals=proposals))
        region_model = load_built_in(name, str(model.device))
        pipeline = LabelPipeline(model, config, region_model=region_model)
        (seen,) = pipeline.look([image])

        def grow(pipeline: LabelPipeline = pipeline, seen: Prediction = seen) -> None:
            pipeline.grow(seen, image)

        row = _timed(grow, 1, model.device, plan.seconds)
        rows.append({**_size(image), "regions": name, "mode": mode, **row})
    return rows


def _timed(step: Callable[[], None], images: int, device: torch.device, seconds: float) -> Row:
    """Images per second of a step over so many images, and the most memory it takes."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    runs, started = 0, time.perf_counter()
    while True:
        step()
        if on_gpu:
            torch.cuda.synchronize(device)
        runs += 1
        taken = time.perf_counter() - started
        if taken >= seconds:
            break
    return {
        "images_per_second": runs * images / taken,
        "runs": runs,
        "peak_bytes": int(torch.cuda.max_memory_allocated(device)) if on_gpu else None,
    }


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _size(image: RgbImage) -> Row:
    return {"size_hw": [image.shape[0], image.shape[1]]}


def gpu_facts(device: torch.device) -> Row | None:
    """Name and memory of a GPU; None of a CPU."""
    if device.type != "cuda":
        return None
    found = torch.cuda.get_device_properties(device)
    return {"name": found.name, "memory_bytes": found.total_memory, "cuda": torch.version.cuda}


def print_rows(result: dict[str, Any], console: Console) -> None:
    """One table for each stage."""
    for stage in ("predict", "rectify", "aggregate"):
        table = Table("size", "how", "images/s", "GPU memory, MiB", title=stage)
        for row in result[stage]:
            how = [row.get(key) for key in ("batch", "precision", "regions", "mode")]
            memory = row["peak_bytes"]
            table.add_row(
                " x ".join(map(str, row["size_hw"])),
                " ".join(str(part) for part in how if part is not None),
                f"{row['images_per_second']:.2f}",
                "–" if memory is None else f"{memory / 2**20:.0f}",
            )
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=GpuPlan.seconds, help="of a measurement")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        action="append",
        metavar=("H", "W"),
        help="of the images; may be given again (360 480 and 1024 2048)",
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    given = parser.parse_args(arguments)
    sizes = tuple((h, w) for h, w in given.size) if given.size else GpuPlan.sizes_hw
    device = torch.device(given.device)
    machine = {**machine_facts(torch.get_num_threads()), "gpu": gpu_facts(device)}
    started = time.perf_counter()
    rows = measure(GpuPlan(sizes, seconds=given.seconds), device, Console(stderr=True))
    result: dict[str, Any] = {"benchmark": "speed-gpu", "machine": machine, **rows}
    result["seconds"] = round(time.perf_counter() - started, 1)
    print_rows(result, Console())
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
