"""A stand-in for a correction that needs the whole job: it counts regions.

Images with more regions than the mean of the job lose their label.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from models.connectivity.evidence import RegionEvidence
from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from models.region_label import paint
from workers.job_wide import Finisher
from workers.npz import Arrays


def count_regions(label: np.ndarray) -> int:
    """Number of 4-connected components of equal class."""
    components = 0
    for value in np.unique(label):
        found, _ = cv2.connectedComponents((label == value).astype(np.uint8), connectivity=4)
        components += found - 1
    return components


class CountingStage:
    """Implements `workers.job_wide.JobWideStage`; `calls` says what was asked of it."""

    version = 1

    def __init__(self) -> None:
        self.calls: list[str] = []

    def evidence(self, found: RegionEvidence) -> Arrays:
        self.calls.append("evidence")
        label = paint(found.regions, found.regions.classes)
        confidence = np.where(label == 255, 0, np.rint(found.weight * 255)).astype(np.uint8)
        return {"label": label, "confidence": confidence, "regions": np.array(count_regions(label))}

    def sample(self, image_digest: str, evidence: Arrays, seed: int) -> Arrays:
        key = hashlib.sha256(f"{seed}:{image_digest}".encode()).hexdigest()
        return {"keys": np.array([key]), "regions": evidence["regions"][None]}

    def merge(self, parts: Iterable[Arrays]) -> Arrays:
        counts: dict[str, int] = {}
        for part in parts:
            counts |= zip(part["keys"].tolist(), part["regions"].tolist(), strict=True)
        return {
            "keys": np.array(sorted(counts)),
            "regions": np.array([counts[key] for key in sorted(counts)]),
        }

    def fit(self, pipeline: LabelPipeline, sample: Arrays) -> dict[str, Any]:
        self.calls.append("fit")
        images, total = len(sample["keys"]), int(sample["regions"].sum())
        return {"images": images, "total": total, "mean": total / images}

    def finisher(self, fit: dict[str, Any], *, keep_stages: bool) -> Finisher:
        return lambda _, evidence: self.finish(evidence, fit)

    def finish(self, evidence: Arrays, fit: dict[str, Any]) -> LabelMaps:
        self.calls.append("finish")
        label, confidence = evidence["label"], evidence["confidence"]
        if int(evidence["regions"]) > fit["mean"]:
            label, confidence = np.full_like(label, 255), np.zeros_like(confidence)
        kept = label != 255
        values, counts = np.unique(label[kept], return_counts=True)
        summary = {
            "size_hw": label.shape,
            "coverage": float(kept.mean()),
            "expected_accuracy": float(confidence[kept].mean() / 255) if kept.any() else None,
            "class_pixels": {int(v): int(n) for v, n in zip(values, counts, strict=True)},
        }
        return LabelMaps(label, confidence, {}, summary)
