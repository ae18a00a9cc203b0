"""Regions of finished labels beside the truth: what `correct` found, and what it made of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from benchmarks.quality.folders import LabelArray, LabelledFolder
from benchmarks.quality.labelling import LabelFolder
from models.connectivity.config import CorrectConfig
from models.metrics import ranking
from models.metrics.bootstrap import bootstrap_interval
from models.metrics.confusion import IGNORE, Counts
from models.metrics.quality import defined_or_none

LEAST_ANNOTATED: Final = 0.5
DECISIONS: Final = ("kept", "relabelled", "rejected")

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


def truth_counts(pixels: Iterable[Places], truth: LabelArray) -> Counts:
    """True pixels in each region by class, int64 (N, 256); column 255 is not annotated.

    Args:
        pixels: of each region, places in the column-major flattened image.
        truth: uint8 (H, W).
    """
    flat = truth.ravel(order="F")
    rows = [np.bincount(flat[places], minlength=256) for places in pixels]
    return np.array(rows, dtype=np.int64).reshape(-1, 256)


def true_classes(counts: Counts) -> tuple[LabelArray, Flags]:
    """The commonest true class of each region, and whether half of it or more is annotated.

    Args:
        counts: of `truth_counts`.
    """
    known = counts[:, :IGNORE].sum(axis=1)
    is_judged = (known >= LEAST_ANNOTATED * counts.sum(axis=1)) & (known > 0)
    return counts[:, :IGNORE].argmax(axis=1).astype(np.uint8), is_judged


@dataclass(frozen=True, eq=False)
class JudgedRegions:
    """N regions whose true class is known, those of all images one after the other.

    Attributes:
        image_count: number of images of the set.
        images: place of each region's image in the set, int64 (N,).
        is_wrong: the class that aggregation gave is not the true one, bool (N,).
        is_wrong_after: likewise of the class after `correct`; of rejected ones that before.
        annotated_px: int64 (N,).
        right_px: pixels that have the class given, int64 (N,).
        right_after_px: pixels that have the class after `correct`, int64 (N,); of rejected regions
            the class before.
        decisions: place in `DECISIONS`, int64 (N,).
        posterior: probability that the class given is wrong, NaN without `correct`, (N,).
        confidence: mean max-softmax, (N,).
        unjudged: how many more regions there were.
        decided_by: who decided, None without `correct`; several if not the same for all images.
        reason: why, of the first image.
    """

    image_count: int
    images: Places
    is_wrong: Flags
    is_wrong_after: Flags
    annotated_px: Places
    right_px: Places
    right_after_px: Places
    decisions: Places
    posterior: Floats
    confidence: Floats
    unjudged: int = 0
    decided_by: str | None = None
    reason: str | None = None


def judged_regions(truth: LabelledFolder, labels: LabelFolder) -> JudgedRegions:
    """The regions of labels that came with them, beside the truth."""
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    unjudged = 0
    documents = []
    for index, image in enumerate(truth.images):
        document = labels.read_regions(image.stem)
        documents.append((document["decided_by"], document["reason"]))
        rows, left_out = _judged(document["regions"], truth.label(index))
        unjudged += left_out
        rows["images"] = np.full(len(rows["is_wrong"]), index, np.int64)
        for name, values in rows.items():
            columns.setdefault(name, []).append(values)
    decided = [(by, reason) for by, reason in documents if by is not None]
    return JudgedRegions(
        image_count=len(truth.images),
        unjudged=unjudged,
        decided_by=", ".join(sorted({by for by, _ in decided})) or None,
        reason=decided[0][1] if decided else None,
        **{name: np.concatenate(parts) for name, parts in columns.items()},
    )


def _judged(
    entries: Sequence[dict[str, Any]], truth: LabelArray
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    counts = truth_counts((_pixels(entry["segmentation"]) for entry in entries), truth)
    true, is_judged = true_classes(counts)
    before = np.array([entry["class_before"] for entry in entries], np.int64)
    after = np.array(
        [e["class_before" if e["class_after"] is None else "class_after"] for e in entries],
        np.int64,
    )
    rows = np.arange(len(entries))
    columns: dict[str, npt.NDArray[Any]] = {
        "is_wrong": before != true,
        "is_wrong_after": after != true,
        "annotated_px": counts[:, :IGNORE].sum(axis=1),
        "right_px": counts[rows, before],
        "right_after_px": counts[rows, after],
        "decisions": np.array([DECISIONS.index(e["decision"]) for e in entries], np.int64),
        "posterior": _numbers(entries, "posterior"),
        "confidence": _numbers(entries, "confidence"),
    }
    found = {name: values[is_judged] for name, values in columns.items()}
    return found, int((~is_judged).sum())


def _pixels(segmentation: dict[str, Any]) -> Places:
    packed = {"size": segmentation["size"], "counts": segmentation["counts"].encode("ascii")}
    return np.flatnonzero(coco_mask.decode(packed).ravel(order="F"))


def _numbers(entries: Sequence[dict[str, Any]], name: str) -> Floats:
    return np.array([np.nan if e[name] is None else e[name] for e in entries], np.float64)


def region_row(
    regions: JudgedRegions, seed: int, keep_below: float = CorrectConfig.keep_below
) -> dict[str, Any]:
    """The figures of the regions of one stage, as JSON.

    `…_px` weigh by annotated pixels, and count each pixel by its own truth; the others count
    regions by their commonest true class. Intervals are over images.

    Args:
        regions: of a whole set.
        seed: of the bootstrap.
        keep_below: tau_ns, the limit between the groups of low and high posterior.
    """
    row: dict[str, Any] = {
        "regions": len(regions.images),
        "unjudged": regions.unjudged,
        "wrong": _mean(regions.is_wrong),
        "accuracy_px": _ratio(regions.right_px.sum(), regions.annotated_px.sum()),
        "auroc": {"confidence": auroc_row(1 - regions.confidence, regions, seed)},
    }
    if regions.decided_by is None:
        return row
    row["decided_by"], row["reason"] = regions.decided_by, regions.reason
    for number, name in enumerate(DECISIONS):
        row[name] = _decided(regions, regions.decisions == number)
    is_high = regions.posterior >= keep_below
    row["low_posterior"] = _group(regions, ~is_high)
    row["high_posterior"] = _group(regions, is_high)
    row["equal_area"] = equal_area(regions)
    row["auroc"]["posterior"] = auroc_row(regions.posterior, regions, seed)
    row["auroc"]["gain"] = _auroc_gain(regions, seed)
    return row


def auroc_row(doubt: Floats, regions: JudgedRegions, seed: int) -> dict[str, Any]:
    """How well a doubt, high where the class is thought wrong, finds the really wrong regions."""
    return pooled_auroc(doubt, regions.is_wrong, regions.images, regions.image_count, seed)


def pooled_auroc(
    doubt: Floats, is_wrong: Flags, images: Places, image_count: int, seed: int
) -> dict[str, Any]:
    """AUROC of a doubt (N,) over the regions of all images, with its interval over images."""
    counts = _level_counts(doubt, is_wrong, images, image_count)
    low, high = bootstrap_interval(counts, ranking.auroc, seed=seed)
    return {
        "value": defined_or_none(ranking.auroc(counts.sum(axis=0))),
        "interval": [defined_or_none(low), defined_or_none(high)],
    }


def equal_area(regions: JudgedRegions) -> dict[str, float | None]:
    """Accuracy of the pixels that `correct` kept or relabelled, and of as many without it.

    Without it as many pixels of the same regions are taken: the regions of highest mean confidence
    (the last one in part), or any (which has the accuracy of all of them).
    """
    written = regions.decisions != DECISIONS.index("rejected")
    area = int(regions.annotated_px[written].sum())
    whole = int(regions.annotated_px.sum())
    order = np.argsort(-regions.confidence, kind="stable")
    below = np.cumsum(regions.annotated_px[order]) - regions.annotated_px[order]
    taken = np.clip((area - below) / np.maximum(regions.annotated_px[order], 1), 0, 1)
    return {
        "share": _ratio(area, whole),
        "corrected": _ratio(regions.right_after_px[written].sum(), area),
        "most_confident": _ratio(float((taken * regions.right_px[order]).sum()), area),
        "any": _ratio(regions.right_px.sum(), whole),
    }


def _decided(regions: JudgedRegions, chosen: Flags) -> dict[str, float | None]:
    area = regions.annotated_px[chosen].sum()
    return {
        **_share(regions, chosen),
        "accuracy_before": _mean(~regions.is_wrong[chosen]),
        "accuracy_before_px": _ratio(regions.right_px[chosen].sum(), area),
        "accuracy_after": _mean(~regions.is_wrong_after[chosen]),
        "accuracy_after_px": _ratio(regions.right_after_px[chosen].sum(), area),
    }


def _group(regions: JudgedRegions, chosen: Flags) -> dict[str, float | None]:
    area = regions.annotated_px[chosen].sum()
    return {
        **_share(regions, chosen),
        "wrong": _mean(regions.is_wrong[chosen]),
        "wrong_px": _ratio(area - regions.right_px[chosen].sum(), area),
    }


def _share(regions: JudgedRegions, chosen: Flags) -> dict[str, float | None]:
    return {
        "share": _mean(chosen),
        "share_px": _ratio(regions.annotated_px[chosen].sum(), regions.annotated_px.sum()),
    }


def _auroc_gain(regions: JudgedRegions, seed: int) -> dict[str, Any]:
    """AUROC of the posterior less that of one minus the mean confidence, in the same draws."""
    pairs = [
        _level_counts(doubt, regions.is_wrong, regions.images, regions.image_count)
        for doubt in (regions.posterior, 1 - regions.confidence)
    ]
    levels = max(counts.shape[-1] for counts in pairs)
    both = np.stack([np.pad(c, ((0, 0), (0, 0), (0, levels - c.shape[-1]))) for c in pairs], axis=1)

    def gain(counts: Counts) -> float:
        return ranking.auroc(counts[0]) - ranking.auroc(counts[1])

    low, high = bootstrap_interval(both, gain, seed=seed)
    return {
        "value": defined_or_none(gain(both.sum(axis=0))),
        "interval": [defined_or_none(low), defined_or_none(high)],
    }


def _level_counts(doubt: Floats, is_wrong: Flags, images: Places, image_count: int) -> Counts:
    """Wrong and right regions of each image by rank of certainty, (images, 2, levels)."""
    values, levels = np.unique(-doubt, return_inverse=True)
    counts = np.zeros((image_count, 2, max(len(values), 1)), np.int64)
    np.add.at(counts, (images, (~is_wrong).astype(np.int64), levels), 1)
    return counts


def _mean(flags: Flags) -> float | None:
    return float(flags.mean()) if len(flags) else None


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
