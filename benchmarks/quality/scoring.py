"""Scores finished labels against the truth: the only place that opens evaluation labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.quality.folders import LabelledFolder
from benchmarks.quality.labelling import LabelFolder
from models.metrics import calibration, ranking, risk_coverage
from models.metrics.bootstrap import bootstrap_interval
from models.metrics.confusion import IGNORE, Counts
from models.metrics.quality import FIGURES, Figure, QualityAccumulator, defined_or_none
from models.metrics.reliability import over_classes
from models.metrics.rivals import (
    RivalSelector,
    better_figures,
    level_counts,
    plan_global,
    plan_per_class,
)

GAIN_FIGURES = ("miou_full", "boundary_iou", "accuracy_kept")


def count_images(truth: LabelledFolder, labels: LabelFolder) -> list[QualityAccumulator]:
    """Quality counts of each image by itself."""
    counted = []
    for index, image in enumerate(truth.images):
        accumulator = QualityAccumulator(truth.classes.names)
        accumulator.accumulate(*labels.read(image.stem), truth.label(index))
        counted.append(accumulator)
    return counted


def merged(parts: Sequence[QualityAccumulator]) -> QualityAccumulator:
    """The counts of a whole set; there is at least one part."""
    total = QualityAccumulator(parts[0].class_names)
    for part in parts:
        total.merge(part)
    return total


def intervals(
    parts: Sequence[QualityAccumulator], names: Sequence[str], seed: int
) -> dict[str, list[float | None]]:
    """95 % bootstrap intervals over images of the named figures."""
    found = {}
    for name in names:
        figure = FIGURES[name]
        per_image = np.stack([getattr(part, figure.part) for part in parts])
        if figure.part == "reliability":
            # These figures look at all classes together: resample one class instead of K.
            per_image = per_image.sum(axis=1, keepdims=True)
        low, high = bootstrap_interval(per_image, figure.of, seed=seed)
        found[name] = [defined_or_none(low), defined_or_none(high)]
    return found


def stage_row(
    truth: LabelledFolder, labels: LabelFolder, predicted: LabelFolder, seed: int
) -> dict[str, Any]:
    """The figures of one stage, their intervals, and the rival at equal coverage.

    Args:
        truth: the target images with their evaluation labels.
        labels: what the stage kept.
        predicted: the argmax maps of the same predictions, with max-softmax.
        seed: seed of the bootstrap and of the rival's ties.
    """
    parts = count_images(truth, labels)
    rivals = rival_parts(truth, labels, predicted, seed)
    return {
        **merged(parts).summary(),
        "intervals": intervals(parts, list(FIGURES), seed),
        "rival": rival_row(rivals),
        "gain": gains(parts, rivals, seed),
    }


def filled_row(
    truth: LabelledFolder, labels: LabelFolder, predicted: LabelFolder, seed: int
) -> dict[str, Any]:
    """The figures of a stage whose holes are filled by argmax, and its gain over plain argmax."""
    parts = []
    for index, image in enumerate(truth.images):
        label, confidence = labels.read(image.stem)
        argmax, max_softmax = predicted.read(image.stem)
        is_hole = label == IGNORE
        accumulator = QualityAccumulator(truth.classes.names)
        accumulator.accumulate(
            np.where(is_hole, argmax, label),
            np.where(is_hole, max_softmax, confidence),
            truth.label(index),
        )
        parts.append(accumulator)
    return {
        **merged(parts).summary(),
        "intervals": intervals(parts, list(FIGURES), seed),
        "gain": gains(parts, {"predict": count_images(truth, predicted)}, seed),
    }


def gains(
    parts: Sequence[QualityAccumulator],
    others: Mapping[str, Sequence[QualityAccumulator]],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Figure by figure the lead over the better of others, with its interval over images.

    Args:
        parts: counts of each image.
        others: likewise, of what it is compared with, by name.
        seed: of the bootstrap; both sides are drawn together.
    """
    return {name: _gain(FIGURES[name], parts, others, seed) for name in GAIN_FIGURES}


def _gain(
    figure: Figure,
    parts: Sequence[QualityAccumulator],
    others: Mapping[str, Sequence[QualityAccumulator]],
    seed: int,
) -> dict[str, Any]:
    ours = np.stack([getattr(part, figure.part) for part in parts])
    theirs = [np.stack([getattr(o, figure.part) for o in found]) for found in others.values()]
    best = max(theirs, key=lambda counts: np.nan_to_num(figure.of(counts.sum(axis=0)), nan=-1.0))
    both = np.stack([ours, best], axis=1)

    def lead(counts: Counts) -> float:
        return figure.of(counts[0]) - figure.of(counts[1])

    low, high = bootstrap_interval(both, lead, seed=seed)
    return {
        "value": defined_or_none(lead(both.sum(axis=0))),
        "interval": [defined_or_none(low), defined_or_none(high)],
    }


def rival_parts(
    truth: LabelledFolder, labels: LabelFolder, predicted: LabelFolder, seed: int
) -> dict[str, list[QualityAccumulator]]:
    """Counts of each image of both rivals that keep as many pixels of the set as the stage."""
    stems = [image.stem for image in truth.images]
    keep = sum(int((labels.read(stem)[0] != IGNORE).sum()) for stem in stems)
    k = len(truth.classes.names)
    available = np.zeros((k, 256), dtype=np.int64)
    for stem in stems:
        available += level_counts(*predicted.read(stem), k)
    rivals: dict[str, list[QualityAccumulator]] = {}
    for name, plan in (("global", plan_global), ("per_class", plan_per_class)):
        selector = RivalSelector(plan(available, keep), seed)
        for index, stem in enumerate(stems):
            argmax, confidence = predicted.read(stem)
            accumulator = QualityAccumulator(truth.classes.names)
            chosen = selector.select(argmax, confidence)
            accumulator.accumulate(chosen, confidence, truth.label(index))
            rivals.setdefault(name, []).append(accumulator)
    return rivals


def rival_row(rivals: Mapping[str, Sequence[QualityAccumulator]]) -> dict[str, Any]:
    """Figure by figure the better of the two rivals, and both."""
    rows = {}
    for name, parts in rivals.items():
        summary = merged(parts).summary()
        rows[name] = {figure: summary[figure] for figure in FIGURES}
    return {**better_figures(rows["global"], rows["per_class"]), **rows}


def reliability_row(truth: LabelledFolder, predicted: LabelFolder, seed: int) -> dict[str, Any]:
    """How well max-softmax of dense predictions tells right from wrong pixels."""
    parts = count_images(truth, predicted)
    counts = merged(parts).reliability
    whole = over_classes(counts)
    figures = {
        "auroc": ranking.auroc(whole),
        "auroc_classwise": ranking.classwise_auroc(counts),
        "aupr_error": ranking.aupr_error(whole),
        "ece": calibration.expected_calibration_error(whole),
        "ece_adaptive": calibration.adaptive_calibration_error(whole),
        "ece_classwise": calibration.classwise_calibration_error(counts),
        "aurc": risk_coverage.area_under_risk_coverage(whole),
        "excess_aurc": risk_coverage.excess_area_under_risk_coverage(whole),
    }
    return {
        **{name: defined_or_none(value) for name, value in figures.items()},
        "intervals": intervals(parts, ["auroc", "ece"], seed),
    }


def model_row(truth: LabelledFolder, predicted: LabelFolder, seed: int) -> dict[str, Any]:
    """mIoU and IoU per class of a model's argmax maps on one folder."""
    parts = count_images(truth, predicted)
    summary = merged(parts).summary()
    return {
        "miou": summary["miou_full"],
        "iou": summary["iou"],
        "accuracy": summary["accuracy_kept"],
        "images": summary["images"],
        "intervals": {"miou": intervals(parts, ["miou_full"], seed)["miou_full"]},
    }
