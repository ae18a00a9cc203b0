"""Train the nano SAM, fine-tune it on a labelled source, score it.

    python -m benchmarks.region_model train                    # on generated day scenes
    python -m benchmarks.region_model fine-tune --data DIR     # on DIR/source alone
    python -m benchmarks.region_model score                    # held-out scenes, a table

Both trainings resume from their checkpoint when started again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.region_model.sources import SceneSources
from benchmarks.region_model.training import TrainingConfig, train_region_model
from benchmarks.scenes import split_seeds
from models.promptable.sam_architecture import NANO

CACHE = Path(".cache/region_model")
SCENES = 4000
STEPS = 6500


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.region_model", description=__doc__)
    parser.add_argument("command", choices=("train",))
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps ({STEPS})")
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"training scenes ({SCENES})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"checkpoints ({CACHE})")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    train_region_model(
        SceneSources(split_seeds("fit", options.scenes)),
        NANO,
        TrainingConfig(steps=options.steps, seed=options.seed),
        options.cache / f"nano-{options.seed}.ckpt",
    )


if __name__ == "__main__":
    main()
