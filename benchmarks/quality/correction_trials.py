"""Trials of `correct` on the regions of one set: classes flipped, features left out, less data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.quality.folders import LabelledFolder
from benchmarks.quality.region_scoring import pooled_auroc, true_classes, truth_counts
from models.connectivity.classifier import Classifier
from models.connectivity.config import FEATURE_GROUPS, CorrectConfig
from models.connectivity.correction import apply_correction, fit_correction
from models.connectivity.correction_fit import CorrectionFit
from models.connectivity.negatives import drawn_flips, flip_classes
from models.connectivity.regions import Regions
from models.connectivity.sample import merge_parts, sample_of

FLIP_SHARES: Final = (0.2, 0.4)
_FEWEST_IMAGES: Final = 6

RegionsByName = Mapping[str, Regions]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trial:
    """One fit, and what it says of the regions that it was fitted on.

    Attributes:
        kind: "flips", "features" or "thresholds".
        what: what is special about it, as JSON.
        fit: who decides, and why.
        regions: the regions, as they were judged.
        posterior: of the regions of each image, that the class is wrong.
        is_flipped: of the regions of each image; None where none were.
    """

    kind: str
    what: dict[str, Any]
    fit: CorrectionFit
    regions: RegionsByName
    posterior: list[npt.NDArray[np.float32]]
    is_flipped: list[Flags] | None = None


def all_trials(
    regions: RegionsByName,
    confusion: npt.NDArray[np.floating],
    config: CorrectConfig,
    prior: Classifier | None,
    seed: int,
) -> Iterator[Trial]:
    """Every trial on the regions of a set.

    Args:
        regions: {name of the image: its regions}.
        confusion: pixels of each true class (row) by the class that the segmenter gives, (K, K).
        config: of the stage.
        prior: the classifier that came with the model, if any.
        seed: of the flips.
    """
    yield from flip_trials(regions, confusion, config, prior, seed)
    yield from feature_trials(regions, config, prior)
    yield from threshold_trials(regions, config, prior)


def flip_trials(
    regions: RegionsByName,
    confusion: npt.NDArray[np.floating],
    config: CorrectConfig,
    prior: Classifier | None,
    seed: int,
) -> Iterator[Trial]:
    """Classes flipped as the segmenter confuses them, and to any other class alike."""
    own = _always_own(config)
    for drawn_from, weights in (("confusion", confusion), ("uniform", np.zeros_like(confusion))):
        for share in FLIP_SHARES:
            flipped, is_flipped = flip_regions(regions, share, weights, seed)
            fit = _fit(flipped, own, prior)
            what = {"drawn_from": drawn_from, "share": share}
            yield Trial("flips", what, fit, flipped, _posteriors(fit, flipped), is_flipped)


def feature_trials(
    regions: RegionsByName, config: CorrectConfig, prior: Classifier | None
) -> Iterator[Trial]:
    """Each group of features alone, and all of them."""
    for groups in (*((name,) for name in FEATURE_GROUPS), FEATURE_GROUPS):
        fit = _fit(regions, replace(_always_own(config), features=groups), prior)
        what = {"features": list(groups)}
        yield Trial("features", what, fit, regions, _posteriors(fit, regions))


def threshold_trials(
    regions: RegionsByName, config: CorrectConfig, prior: Classifier | None
) -> Iterator[Trial]:
    """What the least numbers of regions bring, with all images and with ever fewer.

    With them, without either, and without both, and what decides where they forbid the job's own
    fit, which is then used anyway beside it.
    """
    count = len(regions)
    while True:
        fewer = dict(list(regions.items())[:count])
        for least, least_of_class in (
            (config.least_regions, config.least_class_regions),
            (0, config.least_class_regions),
            (config.least_regions, 0),
            (0, 0),
        ):
            limited = replace(
                config,
                least_regions=least,
                least_class_regions=least_of_class,
                least_separation=0.0,
            )
            fit = _fit(fewer, limited, prior)
            limits = {"least_regions": least, "least_class_regions": least_of_class}
            yield Trial("thresholds", limits, fit, fewer, _posteriors(fit, fewer))
        count //= 2
        if count < _FEWEST_IMAGES:
            return


def flip_regions(
    regions: RegionsByName, share: float, confusion: npt.NDArray[np.floating], seed: int
) -> tuple[dict[str, Regions], list[Flags]]:
    """The regions with a share of them flipped, votes and features alike, and which those are."""
    given = np.concatenate([np.zeros(0, np.uint8), *(r.classes for r in regions.values())])
    drawn = drawn_flips(given, share, confusion, seed)
    ends = np.cumsum([len(found) for found in regions.values()])
    flipped: dict[str, Regions] = {}
    for (name, found), end in zip(regions.items(), ends, strict=True):
        flipped[name] = _with_classes(found, drawn[end - len(found) : end])
    is_flipped = [flipped[n].classes != found.classes for n, found in regions.items()]
    return flipped, is_flipped


def trial_row(trial: Trial, truth: LabelledFolder | None, seed: int) -> dict[str, Any]:
    """The figures of a trial as JSON: AUROC of the posterior for flips, and for real errors.

    Args:
        trial: one of `all_trials`.
        truth: of the images of the trial's regions, in their order, or of more behind them; None
            leaves real errors out.
        seed: of the intervals.
    """
    classes = np.concatenate([found.classes for found in trial.regions.values()])
    counts = np.bincount(classes)
    row = {
        "kind": trial.kind,
        **trial.what,
        "images": len(trial.regions),
        "regions": int(counts.sum()),
        "fewest_of_a_class": int(counts[counts > 0].min()) if counts.any() else 0,
        "decided_by": trial.fit.decided_by,
        "reason": trial.fit.reason,
        "separation": trial.fit.separation,
        "auroc_flips": None,
        "auroc_real": None,
        "auroc_confidence": None,
    }
    if trial.is_flipped is not None:
        row["auroc_flips"] = _auroc(trial.posterior, trial.is_flipped, seed)
    elif truth is not None:
        wrong, judged = _real_errors(trial.regions, truth)
        doubts = [1 - r.confidence for r in trial.regions.values()]
        row["auroc_real"] = _auroc(_chosen(trial.posterior, judged), wrong, seed)
        row["auroc_confidence"] = _auroc(_chosen(doubts, judged), wrong, seed)
    return row


def _always_own(config: CorrectConfig) -> CorrectConfig:
    return replace(config, least_regions=0, least_class_regions=0, least_separation=0.0)


def _fit(regions: RegionsByName, config: CorrectConfig, prior: Classifier | None) -> CorrectionFit:
    sample = merge_parts(sample_of(found, name, 0) for name, found in regions.items())
    if sample is None:
        raise ValueError("a trial takes at least one image")
    return fit_correction(sample, config, prior)


def _posteriors(fit: CorrectionFit, regions: RegionsByName) -> list[npt.NDArray[np.float32]]:
    return [apply_correction(fit, found, name).posterior for name, found in regions.items()]


def _with_classes(regions: Regions, classes: npt.NDArray[np.uint8]) -> Regions:
    num_classes = regions.votes.shape[1]
    rows = np.arange(len(regions))
    votes = regions.votes.copy()
    votes[rows, classes] = regions.votes[rows, regions.classes]
    votes[rows, regions.classes] = regions.votes[rows, classes]
    features = flip_classes(regions.features, regions.classes, classes, num_classes)
    return replace(regions, classes=classes, votes=votes, features=features)


def _real_errors(regions: RegionsByName, truth: LabelledFolder) -> tuple[list[Flags], list[Flags]]:
    """Of each image which of the judged regions are wrong, and which are judged."""
    wrong, judged = [], []
    for index, found in enumerate(regions.values()):
        counts = truth_counts((rle.pixels() for rle in found.rles), truth.label(index))
        true, is_judged = true_classes(counts)
        wrong.append((found.classes != true)[is_judged])
        judged.append(is_judged)
    return wrong, judged


def _chosen(
    values: Iterable[npt.NDArray[np.float32]], chosen: Iterable[Flags]
) -> list[npt.NDArray[np.float32]]:
    return [v[c] for v, c in zip(values, chosen, strict=True)]


def _auroc(doubt: list[npt.NDArray[np.float32]], wrong: list[Flags], seed: int) -> dict[str, Any]:
    images = np.repeat(np.arange(len(wrong)), [len(flags) for flags in wrong])
    return pooled_auroc(
        np.concatenate(doubt).astype(np.float64), np.concatenate(wrong), images, len(wrong), seed
    )
