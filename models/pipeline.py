"""The label path, from an image to its pseudo-label, in the order of its stages.

    predict    image -> most probable class of each pixel, and its probability p_max
    rectify    class and p_max -> the class that is right most likely, and r, how likely it is
    select     keep the pixels whose p_max (r) reaches the threshold of their class; 255 elsewhere
    aggregate  kept pixels -> labels of whole regions (PSA)
    correct    each region kept, relabelled or rejected (SCC)

Selection with quantiles of a set takes two passes: `pilot` over a sample of the set gives
histograms that add up in any order, `fit_thresholds` turns their sum into a `PilotFit`, and a
pipeline that is given the fit labels the set. A correction that is fitted on the job itself takes
two as well: `evidence` of each image, `fit_correction` on a sample of all, and `finish_label`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.config import PipelineConfig
from models.connectivity.aggregation import Aggregation, aggregate
from models.connectivity.classifier import Classifier
from models.connectivity.config import FEATURE_GROUPS
from models.connectivity.correction import fit_correction
from models.connectivity.correction_fit import CorrectionFit
from models.connectivity.evidence import RegionEvidence
from models.connectivity.extraction import regions_of
from models.connectivity.features import FeatureMap, Pixels
from models.connectivity.sample import Sample, merge_parts, sample_of
from models.errors import CorrectionFitMissing, ModelOutputInvalid, ModelRefused, PilotMissing
from models.label_maps import LabelMaps, label_maps
from models.ontology import IGNORE_LABEL
from models.prediction import Prediction, Predictor, RgbImage
from models.prediction_detail import CELL_PX
from models.promptable.base import Embedding, RegionModel
from models.rectification.rectifier import Rectifier
from models.rectification.stage import rectify
from models.region_label import PREDICTED, RECTIFIED, finish_label
from models.segmentation.base import SegmentationModel
from models.selection import (
    ConfidenceHistogram,
    PilotFit,
    fit_thresholds,
    fixed_thresholds,
    select,
)

KeptLabel = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Grown:
    """An image after `aggregate`, pixel by pixel.

    Attributes:
        aggregation: the label of whole regions.
        pixels: what is known of the pixels, the kept ones among it.
        note: why `aggregate` could not do its work, where that is so.
    """

    aggregation: Aggregation
    pixels: Pixels
    note: str | None = None


class LabelPipeline:
    """Labels images with one model and one configuration.

    On a CPU with the same number of threads the same image gives the same bytes, whatever images
    are labelled with it (but for a correction fitted on them, which looks at all).

    Args:
        model: the segmenter; if it has a `connectivity` classifier, `correct` may use it, and its
            `rectifier` is what `rectify` works with.
        config: which stages run, and how.
        pilot_fit: thresholds of the set, if `config.select` needs a pilot.
        region_model: who finds regions, if `config.aggregate` is there.
        correction: fit of `config.correct`; None makes one of the model's own classifier where
            the configuration says so, and lets `label` fit on its images otherwise.

    Raises:
        ValueError: if the number of thresholds is not the model's number of classes, or
            `config.aggregate` has no region model.
        ModelRefused: `rectifier-missing` or `rectifier-of-another-model`, with `config.rectify`.
    """

    def __init__(
        self,
        model: SegmentationModel,
        config: PipelineConfig,
        pilot_fit: PilotFit | None = None,
        region_model: RegionModel | None = None,
        correction: CorrectionFit | None = None,
    ) -> None:
        if config.aggregate is not None and region_model is None:
            raise ValueError("the stage 'aggregate' needs a region model")
        self._num_classes = model.ontology.num_classes
        self._kinds = [c.kind for c in model.ontology.classes]
        self._config = config
        self._rectifier = None if config.rectify is None else _rectifier_of(model)
        with_detail = config.needs_detail or config.rectify is not None
        self._predictor = Predictor(model, config.predict, with_detail)
        self._thresholds = _thresholds_of_set(config, pilot_fit, self._num_classes)
        self._region_model = region_model
        self._prior: Classifier | None = getattr(model, "connectivity", None)
        self._correction = correction
        if config.correct is not None and config.correct.fit == "model" and correction is None:
            self._correction = self.fit_correction([])

    @property
    def config(self) -> PipelineConfig:
        return self._config

    @property
    def correction(self) -> CorrectionFit | None:
        """The fit of `correct`, where there is one."""
        return self._correction

    @property
    def precision(self) -> str:
        """The numeric precision that is really used, "float32" or "bfloat16"."""
        return self._predictor.precision

    @property
    def needs_job_fit(self) -> bool:
        """Whether labels can be finished only once the regions of all images were seen."""
        return self._config.correct is not None and self._correction is None

    def label(self, images: Sequence[RgbImage]) -> list[LabelMaps]:
        """Pseudo-labels of images, uint8 (H, W, 3) RGB upright, in the order given.

        A correction that needs a fit is fitted on these images.

        Raises:
            PilotMissing: if selection needs a pilot fit and the pipeline was given none.
            ValueError, OutOfMemory, ModelOutputInvalid: see `Predictor.predict`.
        """
        if self._needs_pilot():
            raise PilotMissing
        if not self.needs_job_fit:
            predictions = zip(self.predict(images), images, strict=True)
            return [self.finish(prediction, image) for prediction, image in predictions]
        names = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        found = [
            self.evidence(prediction, image)
            for prediction, image in zip(self.predict(images), images, strict=True)
        ]
        parts = [sample_of(e.regions, n, 0) for e, n in zip(found, names, strict=True)]
        fit = self.fit_correction(parts)
        return [
            finish_label(evidence, fit, name, self._config.keep_stages)
            for evidence, name in zip(found, names, strict=True)
        ]

    def pilot(self, images: Iterable[RgbImage]) -> ConfidenceHistogram:
        """Counts of p_max per predicted class over images, which may be read one at a time."""
        total = ConfidenceHistogram.empty(self._num_classes)
        for image in images:
            for prediction in self.predict([image]):
                total = total.merge(self.histogram(prediction))
        return total

    # The parts of the two, for a caller that keeps the predictions of a pilot for pass 1.

    def predict(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """The stages `predict` and `rectify`, in the order given; errors as in `label`."""
        return [self.rectify(prediction) for prediction in self.look(images)]

    def look(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """The stage `predict` alone, in the order given; errors as in `label`."""
        found = dict(self._predictor.predict(images))
        return [found[position] for position in range(len(images))]

    def rectify(self, prediction: Prediction) -> Prediction:
        """The stage `rectify` alone, if it runs.

        An image on which it fails keeps the prediction that it had; the summary says so.
        """
        if self._rectifier is None or self._config.rectify is None:
            return prediction
        try:
            prediction = rectify(prediction, self._rectifier, self._config.rectify)
        except ValueError as error:  # features that are not finite, for example
            prediction = replace(prediction, note=f"rectify was left out: {error}")
        # Only the stages for regions look at them from here on.
        if self._config.needs_detail:
            return prediction
        return replace(prediction, detail=None, mixed=None)

    def histogram(self, prediction: Prediction) -> ConfidenceHistogram:
        """What one prediction adds to the pilot."""
        return ConfidenceHistogram.of(prediction.label, prediction.p_max, self._num_classes)

    def finish(
        self,
        prediction: Prediction,
        image: RgbImage | None = None,
        image_digest: str = "",
        kept: KeptLabel | None = None,
    ) -> LabelMaps:
        """The stages after `predict`.

        Args:
            prediction: of the image.
            image: uint8 (H, W, 3); needed by `aggregate` and `correct`.
            image_digest: name of the image, by which a job's classifier knows its fold.
            kept: labels to start from in place of `select`'s, uint8 (H, W), 255 where there is
                none.

        Raises:
            PilotMissing: if selection needs a pilot fit and the pipeline was given none.
            CorrectionFitMissing: if the correction needs a fit and the pipeline was given none.
            ValueError: if the stages need the image and it is not given.
        """
        if self.needs_job_fit:
            raise CorrectionFitMissing
        if self._config.aggregate is None and self._config.correct is None:
            chosen = self._kept(prediction, kept)
            stages = self._stage_maps(prediction, chosen) if self._config.keep_stages else {}
            return label_maps(chosen, prediction.p_max, stages, self._facts(prediction))
        evidence = self.evidence(prediction, image, kept)
        return finish_label(evidence, self._correction, image_digest, self._config.keep_stages)

    def evidence(
        self,
        prediction: Prediction,
        image: RgbImage | None,
        kept: KeptLabel | None = None,
    ) -> RegionEvidence:
        """The image after `aggregate`: all that finishing its label needs; arguments as `finish`.

        An image on which the region model fails keeps the label that it had; the summary says so.

        Raises:
            PilotMissing, ValueError: as `finish`.
        """
        if image is None:
            raise ValueError("the stages 'aggregate' and 'correct' look at the image: give it")
        grown = self.grow(prediction, image, kept)
        facts = {**self._facts(prediction, grown.note), "stages": self._maps_kept()}
        # All of them: evidence serves whatever correction is asked for later.
        groups = () if self._config.correct is None else FEATURE_GROUPS
        regions = regions_of(grown.aggregation, grown.pixels, self._num_classes, groups)
        if self._config.keep_stages:
            maps = self._stage_maps(prediction, grown.pixels.kept)
        else:
            maps = {PREDICTED if self._rectifier is None else RECTIFIED: prediction.label}
        return RegionEvidence(regions, grown.pixels.kept, prediction.p_max, maps, facts)

    def grow(self, prediction: Prediction, image: RgbImage, kept: KeptLabel | None = None) -> Grown:
        """What `evidence` is made of, before regions are cut out of it; arguments as `finish`."""
        chosen = self._kept(prediction, kept)
        embedding, aggregation, note = None, _without_masks(chosen), None
        if self._config.aggregate is not None:
            try:
                embedding, aggregation = self._aggregate(prediction, image, chosen)
            except ModelOutputInvalid as error:
                note = f"aggregate was left out: {error}"
        return Grown(aggregation, _pixels(prediction, image, chosen, embedding), note)

    def fit_correction(self, parts: Iterable[Sample]) -> CorrectionFit:
        """The fit of `correct` on parts of a sample of the job's regions."""
        assert self._config.correct is not None
        sample = merge_parts(parts)
        if sample is None:
            sample = Sample.empty(self._num_classes)
        return fit_correction(sample, self._config.correct, self._prior)

    def _needs_pilot(self) -> bool:
        select_config = self._config.select
        return select_config is not None and select_config.needs_pilot and self._thresholds is None

    def _kept(self, prediction: Prediction, given: KeptLabel | None) -> KeptLabel:
        if given is not None:
            return given
        if self._needs_pilot():
            raise PilotMissing
        if self._config.select is None:
            return prediction.label
        thresholds = self._thresholds
        if thresholds is None:
            fit = fit_thresholds(self.histogram(prediction), self._config.select)
            thresholds = fit.thresholds
        return select(prediction.label, prediction.p_max, thresholds)

    def _aggregate(
        self, prediction: Prediction, image: RgbImage, kept: KeptLabel
    ) -> tuple[Embedding, Aggregation]:
        assert self._region_model is not None
        assert self._config.aggregate is not None
        with torch.inference_mode():
            embedding = self._region_model.encode(image)
            grown = aggregate(
                kept,
                prediction.p_max,
                embedding,
                self._region_model,
                self._kinds,
                self._config.aggregate,
                _votes_of_others(prediction),
            )
        return embedding, grown

    def _maps_kept(self) -> list[str]:
        return [name for name in self._config.stages if name != "correct"]

    def _stage_maps(self, prediction: Prediction, kept: KeptLabel) -> dict[str, KeptLabel]:
        before = prediction.label if prediction.predicted is None else prediction.predicted
        maps = {PREDICTED: before, RECTIFIED: prediction.label, "select": kept}
        return {name: maps[name] for name in self._config.stages if name in maps}

    def _facts(self, prediction: Prediction, note: str | None = None) -> dict[str, Any]:
        """What the summary of a label says of its stages up to `aggregate`; `note` is of that."""
        facts: dict[str, Any] = {"window_px": prediction.window_px}
        if self._rectifier is not None:
            before = prediction.predicted
            changed = 0.0 if before is None else float((before != prediction.label).mean())
            calibrated = before is not None and self._rectifier.calibrated
            facts["rectified"] = {"changed_fraction": changed, "calibrated": calibrated}
        notes = [text for text in (prediction.note, note) if text is not None]
        return {**facts, "notes": notes} if notes else facts


def _rectifier_of(model: SegmentationModel) -> Rectifier:
    rectifier: Rectifier | None = getattr(model, "rectifier", None)
    if rectifier is None:
        raise ModelRefused(
            "rectifier-missing",
            "The stage 'rectify' needs a rectifier, which this model does not have.",
            "Fit one with a job of type fit_rectifier or with models.rectification.source_fit.",
        )
    rectifier.check_fits(model)
    return rectifier.on(model.device)


def _without_masks(kept: KeptLabel) -> Aggregation:
    """The kept pixels as they are: their components are the regions."""
    return Aggregation(
        label=kept, pieces=np.zeros(kept.shape, np.int32), quality=np.zeros(0, np.float32)
    )


def _pixels(
    prediction: Prediction, image: RgbImage, kept: KeptLabel, embedding: Embedding | None
) -> Pixels:
    segmenter = None
    detail = prediction.detail
    if detail is not None and detail.features is not None:
        segmenter = FeatureMap(torch.from_numpy(detail.features), detail.features_cover_hw_px)
    return Pixels(
        image=image,
        kept=kept,
        weight=np.where(kept != IGNORE_LABEL, prediction.p_max, np.float32(0)),
        p_max=prediction.p_max,
        probabilities=_probabilities(prediction),
        segmenter=segmenter,
        embedding=embedding,
    )


def _probabilities(prediction: Prediction) -> FeatureMap | None:
    """The segmenter's own, which the classifier of regions was fitted on."""
    return None if prediction.detail is None else _in_cells(prediction.detail.probabilities)


def _votes_of_others(prediction: Prediction) -> FeatureMap | None:
    """By which probabilities pixels vote that were not kept: after `rectify` by rectified ones."""
    return _probabilities(prediction) if prediction.mixed is None else _in_cells(prediction.mixed)


def _in_cells(probabilities: npt.NDArray[np.float16]) -> FeatureMap:
    cells_h, cells_w = probabilities.shape[1:]
    covers_hw_px = cells_h * CELL_PX, cells_w * CELL_PX
    return FeatureMap(torch.from_numpy(probabilities), covers_hw_px)


def _thresholds_of_set(
    config: PipelineConfig, pilot_fit: PilotFit | None, num_classes: int
) -> tuple[float, ...] | None:
    if config.select is None:
        return None
    fixed = fixed_thresholds(config.select, num_classes)
    if fixed is not None or not config.select.needs_pilot or pilot_fit is None:
        return fixed
    if len(pilot_fit.thresholds) != num_classes:
        raise ValueError(
            f"the pilot fit has {len(pilot_fit.thresholds)} thresholds, the model has "
            f"{num_classes} classes"
        )
    return pilot_fit.thresholds
