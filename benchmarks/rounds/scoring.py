"""Figures of a model on held-out images, and of a label set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.rounds.data import ImageSet
from models.adaptation.data import TargetSample
from models.config import PredictConfig
from models.metrics.bootstrap import bootstrap_interval
from models.metrics.quality import FIGURES, QualityAccumulator, defined_or_none
from models.prediction import Predictor
from models.segmentation.base import SegmentationModel


def model_figures(model: SegmentationModel, data: ImageSet, seed: int) -> dict[str, Any]:
    """mIoU and boundary IoU with 95 % intervals over images, and IoU of each class.

    Args:
        model: what is measured.
        data: held-out images with their truth.
        seed: of the bootstrap.
    """
    names = [info.name for info in model.ontology.classes]
    predictor = Predictor(model, PredictConfig())
    parts = []
    for image, truth in zip(data.images, data.labels, strict=True):
        ((_, prediction),) = predictor.predict([image])
        part = QualityAccumulator(names)
        part.accumulate(prediction.label, None, truth)
        parts.append(part)
    total = QualityAccumulator(names)
    for part in parts:
        total.merge(part)
    summary = total.summary()
    intervals = {}
    for name in ("miou_full", "boundary_iou"):
        counts = np.stack([getattr(part, FIGURES[name].part) for part in parts])
        ends = bootstrap_interval(counts, FIGURES[name].of, seed=seed)
        intervals[name] = [defined_or_none(end) for end in ends]
    return {
        "miou": summary["miou_full"],
        "miou_interval": intervals["miou_full"],
        "boundary_iou": summary["boundary_iou"],
        "boundary_iou_interval": intervals["boundary_iou"],
        "iou": summary["iou"],
        "images": len(data),
    }


def label_figures(
    labels: Sequence[TargetSample], data: ImageSet, class_names: Sequence[str]
) -> dict[str, Any]:
    """Coverage, accuracy of what is kept, and mIoU of a label set."""
    total = QualityAccumulator(class_names)
    for sample, truth in zip(labels, data.labels, strict=True):
        total.accumulate(sample.label, None, truth)
    summary = total.summary()
    return {name: summary[name] for name in ("coverage", "accuracy_kept", "miou_kept")}
