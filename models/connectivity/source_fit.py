"""Fits the classifier of regions that comes with a model, on images whose true classes are known.

Each image is seen as it is and under changed styles, and its regions are those that the label path
makes of it, so that they are wrong as often, and in the ways, as those that the classifier will
judge. More wrong ones are made: classes flipped as the model confuses them, and masks displaced.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.config import PipelineConfig
from models.connectivity.aggregation import Aggregation
from models.connectivity.classifier import Classifier, fit_prior
from models.connectivity.config import CorrectConfig
from models.connectivity.extraction import regions_of
from models.connectivity.negatives import drawn_flips, flip_classes
from models.connectivity.regions import Regions
from models.connectivity.sample import image_key
from models.connectivity.style import restyled
from models.metrics.ranking import auroc_of_samples
from models.ontology import IGNORE_LABEL
from models.pipeline import Grown, LabelPipeline
from models.promptable.base import RegionModel
from models.segmentation.base import SegmentationModel

Labelled = tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
Classes = npt.NDArray[np.uint8]

_LEAST_REGIONS: Final = 20
_HELD_OUT: Final = 4  # every so many images are left out once, to see how well it does
_FARTHEST: Final = 4  # displaced by 1/16 to 1/4 of each side


@dataclass(frozen=True)
class SourceFitSettings:
    """How regions for the fit are made.

    Attributes:
        views: styles in which each image is seen; the first is its own.
        flip_share: flipped copies, as a share of the regions.
        displaced_share: share of the views of which displaced masks are taken as well.
        least_annotated: share of a region that must have a true class.
        least_majority: share of its annotated pixels that its true class must have; with less it
            is of no one class.
        most_regions: regions that are kept for the fit, drawn alike from all.
    """

    views: int = 4
    flip_share: float = 0.15
    displaced_share: float = 0.25
    least_annotated: float = 0.5
    least_majority: float = 0.5
    most_regions: int = 100_000


class TooFewRegions(ValueError):
    """The images do not give the regions that a fit takes."""

    code = "too-few-regions"


@dataclass(frozen=True, eq=False)
class _Rows:
    """Regions of some images, one a row; `draws` orders them at random, the same each time."""

    features: dict[str, npt.NDArray[np.float16]]
    given: Classes
    true: Classes
    images: npt.NDArray[np.uint64]
    draws: npt.NDArray[np.float64]
    displaced: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.given)

    def take(self, rows: npt.NDArray[Any]) -> "_Rows":
        columns = {name: value[rows] for name, value in vars(self).items() if name != "features"}
        return _Rows({name: f[rows] for name, f in self.features.items()}, **columns)


@dataclass
class _Gathered:
    """Rows as they come, never more than twice `most` of them."""

    most: int
    limit: float = 1.0  # rows with a draw above it are dropped
    parts: list[_Rows] = field(default_factory=list)
    count: int = 0

    def add(self, rows: _Rows) -> None:
        kept = rows.take(rows.draws <= self.limit)
        self.parts.append(kept)
        self.count += len(kept)
        if self.count > 2 * self.most:
            self.shrink()

    def shrink(self) -> None:
        """Keep the `most` rows of lowest draw."""
        merged = _concatenated(self.parts)
        if merged is not None and len(merged) > self.most:
            self.limit = float(np.partition(merged.draws, self.most - 1)[self.most - 1])
            merged = merged.take(merged.draws <= self.limit)
        self.parts = [] if merged is None else [merged]
        self.count = 0 if merged is None else len(merged)

    def all(self) -> _Rows | None:
        self.shrink()
        return self.parts[0] if self.parts else None


def fit_connectivity(
    model: SegmentationModel,
    region_model: RegionModel | None,
    labelled: Iterable[Labelled],
    config: PipelineConfig,
    seed: int = 0,
    settings: SourceFitSettings | None = None,
) -> tuple[Classifier, dict[str, Any]]:
    """Fit a classifier of regions; images are read one at a time and in any order.

    Args:
        model: the segmenter.
        region_model: for `config.aggregate`.
        labelled: name, image uint8 (H, W, 3) and true classes uint8 (H, W), 255 where not known.
        config: the label path; quantiles are taken of each image by itself.
        seed: of styles, flips and displacements.
        settings: how regions are made.

    Returns:
        The classifier, and figures as JSON: how many images, views and regions, which share of the
        classes given was wrong, and on held-out images the AUROC of the classifier's doubt for
        really wrong classes (None where it is not defined).

    Raises:
        TooFewRegions: fewer than two images, or hardly a region with a true class.
    """
    settings = settings or SourceFitSettings()
    pipeline = LabelPipeline(model, _path_config(config), region_model=region_model)
    num_classes = model.ontology.num_classes
    gathered = _Gathered(settings.most_regions)
    confusion = np.zeros((num_classes, num_classes))
    images = 0
    for name, image, truth in labelled:
        images += 1
        for rows in _views(pipeline, (name, image, truth), confusion, seed, settings):
            gathered.add(rows)
    found = gathered.all()
    if found is None or len(found) < _LEAST_REGIONS or len(np.unique(found.images % 3)) < 2:
        count = 0 if found is None else len(found)
        raise TooFewRegions(
            f"{images} labelled images gave {count} regions with a true class; give more images"
        )
    figures = {
        "images": images,
        "views": images * settings.views,
        "regions": len(found),
        "wrong_fraction": float((found.given != found.true)[~found.displaced].mean()),
        "displaced": int(found.displaced.sum()),
        "of_no_class": int((found.true == IGNORE_LABEL).sum()),
        "held_out": _held_out(found, confusion, num_classes, seed, settings),
        "settings": asdict(settings),
    }
    classifier = _fitted(found, confusion, num_classes, seed, settings)
    return classifier, {**figures, "temperature": classifier.temperature}


def _path_config(config: PipelineConfig) -> PipelineConfig:
    """The path up to `aggregate`, with all features and without quantiles of a set."""
    select = config.select
    if select is not None and select.needs_pilot:
        select = replace(select, scope="image")
    return replace(config, select=select, correct=CorrectConfig(), keep_stages=False)


def _views(
    pipeline: LabelPipeline,
    labelled: Labelled,
    confusion: npt.NDArray[np.float64],
    seed: int,
    settings: SourceFitSettings,
) -> Iterator[_Rows]:
    """Yield the regions of each view of an image, and count what its pixels are taken for."""
    name, image, truth = labelled
    num_classes = len(confusion)
    for view in range(settings.views):
        rng = np.random.default_rng(_seed_of(seed, name, view))
        seen = image if view == 0 else restyled(image, rng)
        (prediction,) = pipeline.predict([seen])
        known = truth != IGNORE_LABEL
        pairs = truth[known].astype(np.int64) * num_classes + prediction.label[known]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
        grown = pipeline.grow(prediction, seen)
        regions = regions_of(grown.aggregation, grown.pixels, num_classes)
        yield _rows_of(regions, truth, name, rng, settings, displaced=False)
        if rng.random() < settings.displaced_share:
            moved = replace(grown, aggregation=_displaced(grown, rng))
            regions = regions_of(moved.aggregation, moved.pixels, num_classes)
            yield _rows_of(regions, truth, name, rng, settings, displaced=True)


def _seed_of(seed: int, name: str, view: int) -> int:
    digest = hashlib.sha256(f"{seed}:{name}:{view}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _displaced(grown: Grown, rng: np.random.Generator) -> Aggregation:
    """The regions moved by 1/16 to 1/4 of each side; what comes from outside is ignored."""
    label, pieces = grown.aggregation.label, grown.aggregation.pieces
    fractions = rng.uniform(1 / 16, 1 / _FARTHEST, 2) * rng.choice([-1, 1], 2)
    shift = [int(round(f * side)) for f, side in zip(fractions, label.shape, strict=True)]
    moved = np.roll(label, shift, (0, 1))
    outside = np.zeros(label.shape, bool)
    for axis, by in enumerate(shift):
        if by:
            edge = slice(0, by) if by > 0 else slice(by, None)
            outside[(edge, slice(None)) if axis == 0 else (slice(None), edge)] = True
    moved[outside] = IGNORE_LABEL
    return replace(grown.aggregation, label=moved, pieces=np.roll(pieces, shift, (0, 1)))


def _rows_of(
    regions: Regions,
    truth: Classes,
    name: str,
    rng: np.random.Generator,
    settings: SourceFitSettings,
    *,
    displaced: bool,
) -> _Rows:
    true, annotated = _true_classes(regions, truth, settings.least_majority)
    count = len(regions)
    rows = _Rows(
        regions.features,
        regions.classes,
        true,
        np.full(count, image_key(name), np.uint64),
        rng.random(count),
        np.full(count, displaced),
    )
    return rows.take(annotated >= settings.least_annotated)


def _true_classes(
    regions: Regions, truth: Classes, least_majority: float
) -> tuple[Classes, npt.NDArray[np.float64]]:
    """True class of each region, 255 if it is of no one class, and its annotated share."""
    flat = truth.ravel(order="F")
    true = np.full(len(regions), IGNORE_LABEL, np.uint8)
    annotated = np.zeros(len(regions))
    for index, rle in enumerate(regions.rles):
        counts = np.bincount(flat[rle.pixels()], minlength=IGNORE_LABEL + 1)
        known = counts[:IGNORE_LABEL].sum()
        annotated[index] = known / max(1, counts.sum())
        if known and counts[:IGNORE_LABEL].max() >= least_majority * known:
            true[index] = counts[:IGNORE_LABEL].argmax()
    return true, annotated


def _concatenated(parts: list[_Rows]) -> _Rows | None:
    """The rows of all parts; images in which a group of features is missing are left out."""
    if not parts:
        return None
    groups = max((part.features for part in parts if len(part)), key=len, default={})
    whole = [part for part in parts if len(part) and part.features.keys() == groups.keys()]
    if not whole:
        return None
    columns = {
        name: np.concatenate([getattr(part, name) for part in whole])
        for name in vars(whole[0])
        if name != "features"
    }
    features = {name: np.concatenate([part.features[name] for part in whole]) for name in groups}
    return _Rows(features, **columns)


def _fitted(
    rows: _Rows,
    confusion: npt.NDArray[np.float64],
    num_classes: int,
    seed: int,
    settings: SourceFitSettings,
) -> Classifier:
    """The classifier fitted on rows and flipped copies of some."""
    rng = np.random.default_rng(seed)
    copied = np.flatnonzero(~rows.displaced & (rng.random(len(rows)) < settings.flip_share))
    copies = rows.take(copied)
    flipped = drawn_flips(copies.given, 1.0, confusion, seed)
    features = flip_classes(copies.features, copies.given, flipped, num_classes)
    both = _concatenated([rows, replace(copies, features=features, given=flipped)])
    assert both is not None
    return fit_prior(both.features, both.given, both.true, both.images, num_classes)


def _held_out(
    rows: _Rows,
    confusion: npt.NDArray[np.float64],
    num_classes: int,
    seed: int,
    settings: SourceFitSettings,
) -> dict[str, Any] | None:
    """How well really wrong regions are found in images that the fit has not seen."""
    left_out = (rows.images // np.uint64(3)) % np.uint64(_HELD_OUT) == 0
    inside, outside = rows.take(~left_out), rows.take(left_out & ~rows.displaced)
    if len(inside) < _LEAST_REGIONS or len(np.unique(inside.images % 3)) < 2 or not len(outside):
        return None
    classifier = _fitted(inside, confusion, num_classes, seed, settings)
    scores = classifier.scores(outside.features, outside.given, image=0)
    chosen = outside.given[:, None].astype(np.int64)
    own = np.take_along_axis(classifier.probabilities(scores), chosen, 1)[:, 0]
    wrong = outside.given != outside.true
    return {
        "regions": len(outside),
        "wrong_fraction": float(wrong.mean()),
        "auroc": auroc_of_samples(1 - own, wrong),
    }
