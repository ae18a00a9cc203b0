"""The label path over images in memory: what a label job of a round does."""

from collections.abc import Iterable

from benchmarks.rounds.data import ImageSet
from models.adaptation.data import TargetSample
from models.config import PipelineConfig
from models.pipeline import LabelPipeline
from models.prediction import Prediction
from models.promptable.base import RegionModel
from models.segmentation.base import SegmentationModel
from models.selection import ConfidenceHistogram, fit_thresholds


def label_set(
    model: SegmentationModel,
    data: ImageSet,
    config: PipelineConfig,
    region_model: RegionModel | None = None,
) -> list[TargetSample]:
    """The frozen label set of a round; labels of `data` are not looked at.

    Args:
        model: of the round before.
        data: the unlabelled images.
        config: of the label path.
        region_model: for `aggregate`.
    """
    looking = LabelPipeline(model, config, region_model=region_model)
    predictions = looking.predict(list(data.images))
    fit = None
    if config.select is not None and config.select.needs_pilot:
        fit = fit_thresholds(_histogram(predictions, model.ontology.num_classes), config.select)
    path = LabelPipeline(model, config, fit, region_model=region_model)
    if path.needs_job_fit:
        maps = path.label(list(data.images))
    else:
        maps = [
            path.finish(prediction, image, name)
            for prediction, image, name in zip(predictions, data.images, data.ids, strict=True)
        ]
    return [
        TargetSample(name, image, found.label, found.confidence, found.regions_json)
        for name, image, found in zip(data.ids, data.images, maps, strict=True)
    ]


def _histogram(predictions: Iterable[Prediction], num_classes: int) -> ConfidenceHistogram:
    total = ConfidenceHistogram.empty(num_classes)
    for prediction in predictions:
        total = total.merge(ConfidenceHistogram.of(prediction.label, prediction.p_max, num_classes))
    return total
