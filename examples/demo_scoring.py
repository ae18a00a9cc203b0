"""The stages of the demo against exact labels, each beside its rival.

The rival of a stage keeps as many pixels of the plain predictions as the stage does, those of
highest max-softmax; see `models.metrics.rivals`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import IGNORE
from models.metrics.quality import QualityAccumulator
from models.metrics.reliability import LEVELS
from models.metrics.rivals import (
    RivalPlan,
    RivalSelector,
    better_figures,
    level_counts,
    plan_global,
    plan_per_class,
)

Array = npt.NDArray[np.uint8]

FIGURES: Final = ("coverage", "accuracy_kept", "miou_full", "boundary_iou")
COMPARED: Final = FIGURES[1:]
_SEED: Final = 0  # of ties between pixels of one confidence


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image with its truth; all arrays uint8 (H, W).

    Attributes:
        stages: class map after each stage, 255 where there is none; "predict" leaves none out.
        max_softmax: round(255·p) of the predicted class.
        confidence: round(255·c) of the finished label, 0 where there is none.
        truth: exact classes.
    """

    stages: Mapping[str, Array]
    max_softmax: Array
    confidence: Array
    truth: Array


def figures_of(
    pairs: Iterable[tuple[Array, Array]], class_names: Sequence[str]
) -> dict[str, float | None]:
    """The `FIGURES` of labels with their truths, fractions; None where undefined."""
    counts = QualityAccumulator(class_names)
    for label, truth in pairs:
        counts.accumulate(label, None, truth)
    summary = counts.summary()
    return {name: summary[name] for name in FIGURES}


def stage_table(images: Sequence[ScoredImage], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """One row a stage: its figures over all images, and `rival` with the better of two rivals.

    `rival` is None where a stage drops nothing: there is nothing to choose.
    """
    rows = []
    for stage in images[0].stages if images else ():
        labels = [image.stages[stage] for image in images]
        pairs = zip(labels, (image.truth for image in images), strict=True)
        row = {"stage": stage, **figures_of(pairs, class_names)}
        kept = sum(int(np.count_nonzero(label != IGNORE)) for label in labels)
        whole = sum(label.size for label in labels)
        rows.append(row | {"rival": _rival(images, kept, class_names) if kept < whole else None})
    return rows


def _rival(
    images: Sequence[ScoredImage], keep: int, class_names: Sequence[str]
) -> dict[str, float | None]:
    available = np.zeros((len(class_names), LEVELS), np.int64)
    for image in images:
        available += level_counts(image.stages["predict"], image.max_softmax, len(class_names))
    plans = (plan_global(available, keep), plan_per_class(available, keep))
    first, second = (_figures_of_plan(images, plan, class_names) for plan in plans)
    return {
        name: value for name, value in better_figures(first, second).items() if name != "coverage"
    }


def _figures_of_plan(
    images: Sequence[ScoredImage], plan: RivalPlan, class_names: Sequence[str]
) -> dict[str, float | None]:
    selector = RivalSelector(plan, _SEED)
    pairs = (
        (selector.select(image.stages["predict"], image.max_softmax), image.truth)
        for image in images
    )
    return figures_of(pairs, class_names)
