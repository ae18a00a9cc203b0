"""Trains a network without batch statistics, alone or with other processes: `OUT BATCH_SIZE`."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from models.adaptation.batches import BatchSource
from models.adaptation.processes import process_rank
from models.adaptation.rare_classes import class_pixels
from models.adaptation.training import TrainingState
from tests.models.adaptation.toys import CPU, QUICK, PlainModel, source, target

STEPS = 6


def main(out: Path, batch_size: int) -> None:
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    # Some images without labels: the shares of the processes differ.
    samples = target(4) + target(4, kept=0.1)
    recipe = replace(QUICK, batch_size=batch_size)
    state = TrainingState(PlainModel(), (), recipe, STEPS, seed=0)
    batches = BatchSource(source(), samples, recipe, class_pixels(source(), 3), 0, CPU)
    losses = [dict(state.train_step(batches, step).losses) for step in range(STEPS)]
    weights = [p.detach().flatten().tolist() for p in state.teacher.module.parameters()]
    if process_rank() == 0:
        out.write_text(json.dumps({"losses": losses, "weights": sum(weights, [])}))
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
