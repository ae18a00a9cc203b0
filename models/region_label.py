"""From regions to a finished label: what each region became, and how sure of it one can be."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.connectivity.correction import apply_correction
from models.connectivity.correction_fit import CorrectionFit, Decisions
from models.connectivity.evidence import RegionEvidence
from models.connectivity.region_table import region_document
from models.connectivity.regions import Regions
from models.label_maps import LabelMaps, label_maps
from models.ontology import IGNORE_LABEL
from models.rectification.calibration import PlattScaling, log_odds

PREDICTED: Final = "predict"
RECTIFIED: Final = "rectify"
"""Names of maps of an evidence. The weights are of the classes of the second, where it is there."""

CONFIDENCE: Final = PlattScaling(0.56, -0.36)
"""Scale and shift of the confidence where regions took part. Votes agree more than they are right.
Fitted on generated scenes of three styles that no model was fitted on, with and without `rectify`
and `correct`; docs/benchmarks.md has what it brings."""

_LEAST: Final = 0.01


def finish_label(
    evidence: RegionEvidence,
    fit: CorrectionFit | None,
    image_digest: str,
    keep_stages: bool = False,
) -> LabelMaps:
    """The label of an image from its evidence; needs neither image nor models.

    Args:
        evidence: of `LabelPipeline.evidence`.
        fit: how regions are corrected; None leaves them as aggregation gave them.
        image_digest: name of the image, by which a job's classifier knows its fold.
        keep_stages: keep the class map after each stage.

    Raises:
        FeaturesDiffer: the fit was made on other features than the evidence has.
    """
    regions = evidence.regions
    decisions = None if fit is None else apply_correction(fit, regions, image_digest)
    aggregated = paint(regions, regions.classes)
    label = aggregated if decisions is None else paint(regions, decisions.classes_after)
    stages = {}
    if keep_stages:
        stages = {name: m for name, m in evidence.maps.items() if name in evidence.facts["stages"]}
        if "aggregate" in evidence.facts["stages"]:
            stages["aggregate"] = aggregated
        if fit is not None:
            stages["correct"] = label
    facts = {k: v for k, v in evidence.facts.items() if k != "stages"}
    document = region_document(regions, decisions)
    return label_maps(label, region_certainty(evidence, label, decisions), stages, facts, document)


def paint(regions: Regions, classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The label in which each region has its class, uint8 (H, W); 255 elsewhere.

    Args:
        regions: N regions.
        classes: uint8 (N,), 255 for a region that gets none.
    """
    height, width = regions.size_hw
    flat = np.full(height * width, IGNORE_LABEL, np.uint8)
    for rle, class_id in zip(regions.rles, classes, strict=True):
        flat[rle.pixels()] = class_id
    return np.ascontiguousarray(flat.reshape((height, width), order="F"))


def region_certainty(
    evidence: RegionEvidence, label: npt.NDArray[np.uint8], decisions: Decisions | None
) -> npt.NDArray[np.float32]:
    """c, the probability that the class written at a pixel is right, float32 (H, W).

    One fixed monotone formula: the mean of the log odds of what is known of the pixel, scaled and
    shifted, as a probability again. Known are its confidence r, if its class is the predicted (or
    rectified) one; the share of the votes of its region for the class written, if it has votes; and
    the probability that the correction gives to that class, if there was one. Scale and shift
    (`CONFIDENCE`) are the same for all classes.
    """
    regions = evidence.regions
    written = regions.classes if decisions is None else decisions.classes_after
    by_region: list[npt.NDArray[np.floating[Any]]] = []
    total = regions.votes.sum(1)
    taken = np.where(written == IGNORE_LABEL, regions.classes, written).astype(np.int64)
    share = np.take_along_axis(regions.votes, taken[:, None], 1)[:, 0] / np.maximum(total, 1e-12)
    by_region.append(np.where(total > 0, log_odds(share, _LEAST), np.nan))
    if decisions is not None:
        by_region.append(log_odds(decisions.probability, _LEAST))
    known = np.stack(by_region)
    sums, counts = np.nansum(known, 0), np.isfinite(known).sum(0)
    own = label == evidence.maps[RECTIFIED if RECTIFIED in evidence.maps else PREDICTED]
    pixel_sums = np.where(own, log_odds(evidence.weight, _LEAST), 0.0) + _painted(regions, sums)
    pixel_counts = own + _painted(regions, counts)
    mean = pixel_sums / np.maximum(pixel_counts, 1)
    return CONFIDENCE.probability(mean)


def _painted(regions: Regions, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    height, width = regions.size_hw
    flat = np.zeros(height * width)
    for rle, value in zip(regions.rles, values, strict=True):
        flat[rle.pixels()] = value
    return flat.reshape((height, width), order="F")
