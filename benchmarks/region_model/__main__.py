"""Train the nano SAM, fine-tune it on a labelled source, score it.

    python -m benchmarks.region_model train                    # on generated day scenes
    python -m benchmarks.region_model export                   # what its checkpoint holds by now
    python -m benchmarks.region_model fine-tune --data DIR     # on DIR/source alone
    python -m benchmarks.region_model score                    # held-out scenes, a table

Both trainings resume from their checkpoint when started again.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from segment_anything.modeling import Sam

from benchmarks.region_model import fine_tuning
from benchmarks.region_model.export import export_nano, read_checkpoint
from benchmarks.region_model.nano import NANO_TRAINING
from benchmarks.region_model.report import print_table, score_folder, score_scenes
from benchmarks.region_model.sources import SceneSources, labelled_part
from benchmarks.region_model.training import TrainingConfig, train_region_model
from benchmarks.scenes import SOURCE_STYLE, TARGET_STYLES, split_seeds
from models.promptable.sam_architecture import NANO, SamArchitecture

CACHE = Path(".cache/region_model")
BUILT_IN = Path("models/promptable/nano")
SCENES = 2500
SCORED_SCENES = 100
STYLES = (SOURCE_STYLE, *TARGET_STYLES)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the command line names."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.run(options)


def train(options: argparse.Namespace) -> None:
    """Train on generated scenes and write the region model."""
    # The decoder stays in float32; a GPU multiplies that several times faster as TF32.
    torch.set_float32_matmul_precision("high")
    sources = SceneSources(split_seeds("fit", options.scenes))
    if options.workers > 1:
        sources.draw_all(options.workers)
    train_region_model(
        sources,
        NANO,
        replace(
            NANO_TRAINING, seed=options.seed, steps=options.steps, batch_size=options.batch_size
        ),
        _checkpoint(options),
        device=options.device,
        workers=options.workers,
    )
    export(options)


def export(options: argparse.Namespace) -> None:
    """Write what the checkpoint holds as a region model."""
    print(export_nano(_checkpoint(options), options.out))


def fine_tune(options: argparse.Namespace) -> None:
    """Go on from given weights on DIR/source, and write the region model."""
    name = options.data.resolve().name
    config = TrainingConfig(
        steps=options.steps, seed=options.seed, learning_rate=options.learning_rate
    )
    folder = fine_tuning.fine_tune(
        labelled_part(options.data, "source"),
        _network(options),
        config,
        options.out or options.cache / f"{name}-{options.seed}",
        cache=options.cache,
    )
    print(folder)


def score(options: argparse.Namespace) -> None:
    """Print how well a network finds held-out segments."""
    sam, _ = _network(options)
    if options.data is not None:
        result = score_folder(sam, labelled_part(options.data, "source_val"), options.count)
    else:
        styles = STYLES if options.style == "all" else (options.style,)
        result = score_scenes(sam, styles, options.split, options.count)
    print_table(result["table"], Console())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


def _checkpoint(options: argparse.Namespace) -> Path:
    return options.cache / f"nano-{options.seed}.ckpt"


def _network(options: argparse.Namespace) -> tuple[Sam, SamArchitecture]:
    if options.checkpoint is not None:
        trained = read_checkpoint(options.checkpoint)
        return trained.sam, trained.architecture
    from models.promptable.folder import load_region_model

    model = load_region_model(options.weights)
    return model.sam, model.architecture


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.region_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    shared.add_argument("--cache", type=Path, default=CACHE, help=f"checkpoints ({CACHE})")
    seeded = argparse.ArgumentParser(add_help=False)
    seeded.add_argument("--seed", type=int, default=0)
    network = argparse.ArgumentParser(add_help=False)
    which = network.add_mutually_exclusive_group()
    which.add_argument(
        "--weights", type=Path, default=BUILT_IN, help=f"folder of a region model ({BUILT_IN})"
    )
    which.add_argument("--checkpoint", type=Path, help="checkpoint of a training, finished or not")

    command = commands.add_parser("train", parents=[shared, seeded], help="on generated scenes")
    command.set_defaults(run=train)
    command.add_argument(
        "--steps", type=int, default=NANO_TRAINING.steps, help=f"({NANO_TRAINING.steps})"
    )
    command.add_argument(
        "--batch-size",
        type=int,
        default=NANO_TRAINING.batch_size,
        help=f"images in a step ({NANO_TRAINING.batch_size})",
    )
    command.add_argument("--scenes", type=int, default=SCENES, help=f"training scenes ({SCENES})")
    command.add_argument("--device", default="cpu", help='where to train, "cuda" for a GPU (cpu)')
    command.add_argument("--workers", type=int, default=1, help="processes that draw images (1)")
    command.add_argument("--out", type=Path, default=BUILT_IN, help=f"({BUILT_IN})")

    command = commands.add_parser("export", parents=[shared, seeded], help="from the checkpoint")
    command.set_defaults(run=export)
    command.add_argument("--out", type=Path, default=BUILT_IN, help=f"({BUILT_IN})")

    command = commands.add_parser(
        "fine-tune", parents=[shared, seeded, network], help="on a labelled source"
    )
    command.set_defaults(run=fine_tune)
    command.add_argument("--data", type=Path, required=True, help="data set; its source/ is read")
    command.add_argument("--steps", type=int, default=fine_tuning.STEPS)
    command.add_argument("--learning-rate", type=float, default=fine_tuning.LEARNING_RATE)
    command.add_argument("--out", type=Path, help="folder of the region model (in the cache)")

    command = commands.add_parser("score", parents=[shared, network], help="held-out segments")
    command.set_defaults(run=score)
    command.add_argument("--style", choices=(*STYLES, "all"), default="all")
    command.add_argument("--split", choices=("choose", "test"), default="choose")
    command.add_argument("--count", type=int, default=SCORED_SCENES, help="images of each style")
    command.add_argument("--data", type=Path, help="score on DIR/source_val and not on scenes")
    command.add_argument("--json", type=Path, help="write the result to this file")
    return parser


if __name__ == "__main__":
    main()
