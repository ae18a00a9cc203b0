"""`python -m benchmarks.train_demo`: train the demo model and measure how far it reaches.

The model sees day scenes alone. The table says how good it is there, how far it falls on each
target style, how much of that re-estimated normalisation wins back, and what the same model reaches
when it is trained on with labels of the target (`--oracle`, after the first run). Runs are seeded,
checkpointed and resumed.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.scenes import (
    GENERATOR_VERSION,
    SCENE_ONTOLOGY,
    SOURCE_STYLE,
    TARGET_STYLES,
    SceneDataset,
    generate_scene,
    split_seeds,
)
from benchmarks.training import AugmentationConfig, train_segmenter
from models.bundle import read_bundle, write_bundle
from models.config import PredictConfig
from models.metrics.confusion import confusion_matrix, iou_full, mean_over_present
from models.normalisation import reestimate_batch_statistics
from models.prediction import Predictor
from models.segmentation.base import SegmentationModel
from models.segmentation.compact import CompactSegmenter
from models.segmentation.loading import load_model

TRAINING_SCENES, ORACLE_SCENES = 2000, 600
WEIGHING_SCENES = 100
STATISTICS_SCENES = 96
TEST_SCENES = 120
STEPS, ORACLE_STEPS = 3000, 1000
CROP_HW = (144, 192)
LEARNING_RATE, TUNING_LEARNING_RATE = 3e-3, 1.5e-3
BATCH_SIZE = 8
CLASS_NAMES = [info.name for info in SCENE_ONTOLOGY.classes]


def train(
    style: str, steps: int, seed: int, cache: Path, initial: CompactSegmenter | None = None
) -> tuple[CompactSegmenter, float]:
    """A model of a style and the seconds that its training took over all resumed runs."""
    count = TRAINING_SCENES if initial is None else ORACLE_SCENES
    scenes = SceneDataset(style, split_seeds("fit", count))
    name = f"v{GENERATOR_VERSION}_{style}_seed{seed}_{steps}"
    clock = cache / f"{name}.seconds"
    before = float(clock.read_text()) if clock.exists() else 0.0
    started = time.monotonic()
    try:
        model = train_segmenter(
            scenes,
            SCENE_ONTOLOGY.num_classes,
            steps=steps,
            seed=seed,
            crop_hw=CROP_HW,
            batch_size=BATCH_SIZE,
            checkpoint=cache / f"{name}.pt",
            augmentation=AugmentationConfig(scale_range=(0.75, 1.5)),
            initial=initial,
            class_weights=class_weights(scenes),
            learning_rate=LEARNING_RATE if initial is None else TUNING_LEARNING_RATE,
        )
    finally:
        seconds = before + time.monotonic() - started
        cache.mkdir(parents=True, exist_ok=True)
        clock.write_text(f"{seconds:.1f}\n")
    return model, seconds


def class_weights(scenes: SceneDataset) -> list[float]:
    """Weights that fall with the square root of a class's share of pixels; mean 1 over pixels."""
    pixels = np.zeros(SCENE_ONTOLOGY.num_classes)
    for index in range(WEIGHING_SCENES):
        pixels += np.bincount(scenes[index][1].ravel(), minlength=len(pixels))
    share = pixels / pixels.sum()
    weights = 1 / np.sqrt(np.maximum(share, 1e-3))
    return [round(float(w), 4) for w in weights / (weights * share).sum()]


def score(model: SegmentationModel, style: str, seeds: Sequence[int]) -> dict[str, Any]:
    """{"miou", "iou": {class: …}} of one confusion matrix over all scenes of these seeds."""
    total = np.zeros((SCENE_ONTOLOGY.num_classes, SCENE_ONTOLOGY.num_classes + 1), np.int64)
    predictor = Predictor(model, PredictConfig())
    for seed in track(seeds, description=f"score on {style}", transient=True):
        scene = generate_scene(style, seed)
        for _, prediction in predictor.predict([scene.image]):
            total += confusion_matrix(prediction.label, scene.label, SCENE_ONTOLOGY.num_classes)
    iou = iou_full(total)
    by_class = {name: round(float(value), 4) for name, value in zip(CLASS_NAMES, iou, strict=True)}
    return {"miou": round(mean_over_present(iou, total), 4), "iou": by_class}


def adapted(model: SegmentationModel, style: str) -> SegmentationModel:
    """The model with statistics of unlabelled scenes on which nothing is trained or tested."""
    seeds = split_seeds("fit", STATISTICS_SCENES, offset=TRAINING_SCENES)
    images = (generate_scene(style, seed).image for seed in seeds)
    return reestimate_batch_statistics(model, images).model


def measure(model: SegmentationModel) -> dict[str, Any]:
    """Scores on the source and, before and after re-estimation, on each target."""
    seeds = split_seeds("test", TEST_SCENES)
    return {
        "source": score(model, SOURCE_STYLE, seeds),
        "targets": {
            style: {
                "plain": score(model, style, seeds),
                "source_bn": score(adapted(model, style), style, seeds),
            }
            for style in TARGET_STYLES
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print mean IoU and IoU per class in per cent."""
    table = Table(title=f"IoU in per cent, seed {result['seed']}, {TEST_SCENES} test scenes a row")
    for heading in ("scenes", "model", "mIoU"):
        table.add_column(heading, no_wrap=True)
    for name in CLASS_NAMES:
        table.add_column(name[:5], justify="right", no_wrap=True)
    rows = [(SOURCE_STYLE, "plain", result["source"])]
    for style, figures in result["targets"].items():
        rows += [(style, name, figure) for name, figure in figures.items()]
    for style, name, figure in rows:
        per_class = (f"{100 * value:.0f}" for value in figure["iou"].values())
        table.add_row(style, name, f"{100 * figure['miou']:.1f}", *per_class)
    Console(width=110).print(table)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write the result file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def store(model: CompactSegmenter, folder: Path, provenance: dict[str, Any]) -> SegmentationModel:
    """Write the bundle and read it back: figures are of the rounded weights that ship."""
    provenance = {
        "trained_by": "python -m benchmarks.train_demo",
        "generator_version": GENERATOR_VERSION,
        **provenance,
    }
    write_bundle(folder, model, SCENE_ONTOLOGY, provenance, dtype=torch.float16)
    return load_model(folder, "cpu")


def run_source(args: argparse.Namespace) -> dict[str, Any]:
    """Train on the source, store the bundle, and measure what was stored."""
    model, seconds = train(SOURCE_STYLE, args.steps, args.seed, args.cache)
    facts = {"seed": args.seed, "steps": args.steps}
    stored = store(model, args.bundle, {"style": SOURCE_STYLE, "scenes": TRAINING_SCENES, **facts})
    return {
        "generator_version": GENERATOR_VERSION,
        **facts,
        "seconds": round(seconds),
        "threads": args.threads,
        **measure(stored),
    }


def run_oracle(args: argparse.Namespace) -> dict[str, Any]:
    """Train the source model on with labels of a target and add the row to its result."""
    source = read_bundle(args.bundle).module
    model, seconds = train(args.oracle, args.oracle_steps, args.seed, args.cache, source)
    facts = {"seed": args.seed, "steps": args.oracle_steps}
    stored = store(
        model,
        args.cache / f"oracle_{args.oracle}",
        {"style": args.oracle, "scenes": ORACLE_SCENES, **facts},
    )
    figures = score(stored, args.oracle, split_seeds("test", TEST_SCENES))
    row = {**figures, "steps": args.oracle_steps, "seconds": round(seconds)}
    result: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8"))
    result["targets"][args.oracle]["oracle"] = row
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the source model ({STEPS})")
    parser.add_argument("--oracle", choices=TARGET_STYLES, help="train on labels of this target")
    parser.add_argument("--oracle-steps", type=int, default=ORACLE_STEPS, help=f"({ORACLE_STEPS})")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--bundle", type=Path, default=Path("examples/demo_model"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/train_demo"))
    parser.add_argument("--out", type=Path, help="result file (benchmarks/results/…)")
    args = parser.parse_args()
    args.out = args.out or Path(f"benchmarks/results/demo_model_seed{args.seed}.json")
    torch.set_num_threads(args.threads)
    result = run_oracle(args) if args.oracle else run_source(args)
    write_result(args.out, result)
    show(result)


if __name__ == "__main__":
    main()
