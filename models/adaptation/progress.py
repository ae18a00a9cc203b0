"""What a run tells while it goes on: `progress.jsonl`, and TensorBoard files where it is there."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.adaptation.training import StepReport
from models.metrics.confusion import divide
from models.ontology import IGNORE_LABEL, Ontology

PROGRESS_FILE = "progress.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
_LEAST_SECONDS = 1.0
_DECAY = 0.98


class Progress:
    """Writes a line at most every second, and at the last step.

    Args:
        run: folder of the run.
        ontology: names of the classes.
        steps: of the run.
        first_step: from which it goes on.
        images_in_a_step: over all processes.
    """

    def __init__(
        self, run: Path, ontology: Ontology, steps: int, first_step: int, images_in_a_step: int
    ) -> None:
        self._path = run / PROGRESS_FILE
        self._names = [info.name for info in ontology.classes]
        self._steps, self._images_in_a_step = steps, images_in_a_step
        self._counts = torch.zeros(len(self._names), len(self._names), dtype=torch.float64)
        self._last_step, self._last_time = first_step, time.monotonic()
        self._writer = _tensorboard(run / TENSORBOARD_FOLDER, first_step)

    def report(self, step: int, report: StepReport) -> None:
        """Told after every step, 0-based."""
        outputs = report.outputs
        agreement = _confusion(
            outputs.pseudo.probabilities.argmax(1), outputs.inputs.target.labels, len(self._names)
        )
        self._counts = _DECAY * self._counts + agreement
        now = time.monotonic()
        done = step + 1
        if now - self._last_time < _LEAST_SECONDS and done < self._steps:
            return
        rate = (done - self._last_step) * self._images_in_a_step / max(now - self._last_time, 1e-6)
        self._last_step, self._last_time = done, now
        line = {
            "step": done,
            "steps": self._steps,
            "losses": dict(report.losses),
            "figures": {**report.figures, "pseudo_iou": self._pseudo_iou()},
            "images_per_second": round(rate, 2),
            "memory_bytes": _memory_bytes(),
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        if self._writer is not None:
            _write_scalars(self._writer, line)

    def close(self) -> None:
        """Writes out what TensorBoard has not yet written."""
        if self._writer is not None:
            self._writer.close()

    def _pseudo_iou(self) -> dict[str, float]:
        """IoU of the teacher's classes with the frozen labels, of classes that occur."""
        hit = self._counts.diagonal()
        union = self._counts.sum(0) + self._counts.sum(1) - hit
        iou = divide(hit.numpy(), union.numpy())
        pairs = zip(self._names, iou, strict=True)
        return {name: round(float(value), 4) for name, value in pairs if value == value}


def _confusion(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    kept = labels != IGNORE_LABEL
    cells = labels[kept] * num_classes + predicted[kept]
    counts = torch.bincount(cells, minlength=num_classes**2)
    return counts.view(num_classes, num_classes).double().cpu()


def _memory_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _tensorboard(folder: Path, first_step: int) -> Any:
    """A writer, or None where the package is not installed."""
    try:
        # Imported here: it takes seconds, and a run without it is a run all the same.
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # What a killed run wrote beyond its checkpoint is not shown.
    return SummaryWriter(str(folder), purge_step=first_step or None)


def _write_scalars(writer: Any, line: Mapping[str, Any]) -> None:
    step = line["step"]
    for name, value in line["losses"].items():
        writer.add_scalar(f"loss/{name}", value, step)
    figures = dict(line["figures"])
    for name, value in figures.pop("pseudo_iou").items():
        writer.add_scalar(f"pseudo_iou/{name}", value, step)
    for name, value in figures.items():
        writer.add_scalar(f"figure/{name}", value, step)
    writer.add_scalar("images_per_second", line["images_per_second"], step)
