"""The region model of a labelled source set: the trainer goes on from given weights there."""

import hashlib
import json
from pathlib import Path
from typing import Any

from segment_anything.modeling import Sam

from benchmarks.quality.folders import LabelledFolder
from benchmarks.region_model.export import facts_of, read_checkpoint, write_small
from benchmarks.region_model.sources import FolderSources
from benchmarks.region_model.training import (
    TrainingConfig,
    train_region_model,
    weights_digest,
)
from models.promptable.sam_architecture import SamArchitecture

STEPS = 1500
LEARNING_RATE = 2e-4


def fine_tune(
    source: LabelledFolder,
    initial: tuple[Sam, SamArchitecture],
    config: TrainingConfig,
    out: Path,
    *,
    cache: Path,
    progress: bool = True,
) -> Path:
    """Train on a labelled folder and write the region model to `out`; resumes when interrupted.

    The labels know no instances, so that a component of one class is a segment.

    Args:
        source: the labelled images; nothing else is opened.
        initial: network to start from, left as it is, and its shape.
        config: length and pace.
        out: folder of the region model.
        cache: folder of the checkpoint, which other images, weights or settings do not share.
        progress: show a bar.

    Returns:
        `out`.

    Raises:
        ValueError: there are no images, or the weights would take more than 8 MB.
    """
    sam, architecture = initial
    inputs = {"initial": weights_digest(sam.state_dict()), "source_digest": source.digest()}
    checkpoint = cache / f"fine-tuned-{_key({**inputs, **vars(config)})}.ckpt"
    train_region_model(
        FolderSources(source),
        architecture,
        config,
        checkpoint,
        sam.state_dict(),
        progress,
        fine_tuned=True,
    )
    trained = read_checkpoint(checkpoint)
    provenance = {
        "trained_by": "python -m benchmarks.region_model fine-tune",
        **inputs,
        **facts_of(trained),
    }
    write_small(out, trained, provenance)
    return out


def _key(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
