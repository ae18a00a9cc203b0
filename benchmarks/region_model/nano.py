"""The training of the nano SAM: first small squares, where a step is cheap, then full ones.

What a decoder must learn of boxes and points does not depend on the size of the image, and parts of
scenes in a square of 128 pixels look as they do in one of 256. Position tables are resampled in
between.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segment_anything.modeling import Sam

from benchmarks.region_model.samples import Source
from benchmarks.region_model.training import LabelledSources, TrainingConfig, train_region_model
from models.promptable.sam_architecture import NANO, SamArchitecture

SMALL = TrainingConfig(steps=2000, batch_size=8, learning_rate=1e-3)
FULL = TrainingConfig(steps=1400, batch_size=4, learning_rate=5e-4)


def train_nano(
    sources: LabelledSources | Sequence[Source],
    checkpoint: Path,
    *,
    seed: int = 0,
    small: TrainingConfig = SMALL,
    full: TrainingConfig = FULL,
    architecture: SamArchitecture = NANO,
    progress: bool = True,
) -> Sam:
    """Train on squares of half the side, then on full ones; each part resumes exactly.

    Args:
        sources: labelled images.
        checkpoint: file of the second part; that of the first lies beside it, with `-small`.
        seed: of weights and draws of both.
        small, full: length and pace of the parts.
        architecture: size of the SAM.
        progress: show a bar.
    """
    halved = replace(architecture, image_px=architecture.image_px // 2)
    beside = checkpoint.with_name(f"{checkpoint.stem}-small{checkpoint.suffix}")
    first = train_region_model(sources, halved, replace(small, seed=seed), beside, None, progress)
    return train_region_model(
        sources,
        architecture,
        replace(full, seed=seed),
        checkpoint,
        first.state_dict(),
        progress,
    )
