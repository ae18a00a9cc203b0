"""Labels in this process, without the service: for tests and for quick looks while developing."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.quality.folders import ImageArray, LabelArray, read_image
from benchmarks.quality.labelling import LabelFolder
from benchmarks.quality.remembering import RememberingRegionModel
from models.config import PipelineConfig
from models.connectivity.classifier import Classifier
from models.connectivity.evidence import RegionEvidence
from models.connectivity.sample import sample_of
from models.normalisation import reestimate_batch_statistics
from models.pipeline import LabelPipeline
from models.prediction import Prediction, Predictor
from models.promptable.base import RegionModel
from models.rectification.stage import rectify
from models.region_label import finish_label
from models.segmentation.base import SegmentationModel
from models.segmentation.loading import connectivity_of, load_model, rectifier_of
from models.selection import ConfidenceHistogram, fit_thresholds

_SAMPLE_SEED = 0


class LocalLabeller:
    """A `Labeller` over `LabelPipeline`; model references are names of loaded models.

    Predictions of the set that was labelled last are kept, and so are the answers of region
    models, so that several pipelines over one set cost little more than one.
    """

    def __init__(self, device: str = "cpu", progress: bool = True) -> None:
        self._device = device
        self._progress = progress
        self._models: dict[str, SegmentationModel] = {}
        self._region_models: dict[str, RegionModel] = {}
        self._predicted: tuple[str, list[Prediction]] = ("", [])

    def register_model(self, folder: Path, name: str) -> str:
        self._models[name] = load_model(folder, self._device)
        return name

    def register_region_model(self, folder: Path, name: str) -> str:
        from models.promptable.folder import load_region_model

        self._region_models[name] = RememberingRegionModel(load_region_model(folder, self._device))
        return name

    def adapt(self, model: str, images: Sequence[Path]) -> str:
        adapted = f"{model}-adapted"
        read = (image for _, image in self._read(images, "adapt"))
        self._models[adapted] = reestimate_batch_statistics(self._models[model], read).model
        return adapted

    def classifier(self, model: str) -> Classifier | None:
        """The classifier of regions that came with a model."""
        return connectivity_of(self._models[model])

    def label_images(
        self, images: Sequence[Path], model: str, pipeline: dict[str, Any], out: LabelFolder
    ) -> None:
        config = PipelineConfig.from_dict(pipeline)
        path = self._pipeline(images, model, config)
        if path.needs_job_fit:
            self._label_in_two_passes(path, images, model, out)
            return
        predictions = self._predictions(images, model, config)
        for prediction, (file, image) in zip(predictions, self._read(images, "label"), strict=True):
            maps = path.finish(prediction, image, image_name(image))
            out.write(file.stem, maps.label, maps.confidence, maps.regions_json)

    def predicted(
        self, images: Sequence[Path], model: str, config: PipelineConfig
    ) -> list[LabelArray]:
        """The most probable class of each pixel, uint8 (H, W), in the order of the images."""
        return [prediction.label for prediction in self._predictions(images, model, config)]

    def evidence(
        self, images: Sequence[Path], model: str, config: PipelineConfig
    ) -> dict[str, RegionEvidence]:
        """{name: the image after `aggregate`}, in the order of the images."""
        path = self._pipeline(images, model, config)
        return {name: found for name, _, found in self._evidence(path, images, model)}

    def _label_in_two_passes(
        self, path: LabelPipeline, images: Sequence[Path], model: str, out: LabelFolder
    ) -> None:
        found = list(self._evidence(path, images, model))
        fit = path.fit_correction(
            sample_of(evidence.regions, name, _SAMPLE_SEED) for name, _, evidence in found
        )
        for name, file, evidence in found:
            maps = finish_label(evidence, fit, name, path.config.keep_stages)
            out.write(file.stem, maps.label, maps.confidence, maps.regions_json)

    def _evidence(
        self, path: LabelPipeline, images: Sequence[Path], model: str
    ) -> Iterator[tuple[str, Path, RegionEvidence]]:
        predictions = self._predictions(images, model, path.config)
        for prediction, (file, image) in zip(
            predictions, self._read(images, "regions"), strict=True
        ):
            yield image_name(image), file, path.evidence(prediction, image)

    def _pipeline(
        self, images: Sequence[Path], model: str, config: PipelineConfig
    ) -> LabelPipeline:
        found = self._models[model]
        region_model = fit = None
        if config.aggregate is not None:
            region_model = self._region_model(config.aggregate.region_model)
        if config.select is not None and config.select.needs_pilot:
            total = ConfidenceHistogram.empty(found.ontology.num_classes)
            for prediction in self._predictions(images, model, config):
                total = total.merge(
                    ConfidenceHistogram.of(
                        prediction.label, prediction.p_max, found.ontology.num_classes
                    )
                )
            fit = fit_thresholds(total, config.select)
        return LabelPipeline(found, config, fit, region_model=region_model)

    def _region_model(self, name: str) -> RegionModel:
        if name not in self._region_models:
            from models.promptable.builtin import load_built_in

            self._region_models[name] = RememberingRegionModel(load_built_in(name, self._device))
        return self._region_models[name]

    def _predictions(
        self, images: Sequence[Path], model: str, config: PipelineConfig
    ) -> list[Prediction]:
        key = json.dumps([model, config.predict.to_dict(), [str(path) for path in images]])
        if self._predicted[0] != key:
            self._predicted = ("", [])
            predictor = Predictor(self._models[model], config.predict, with_detail=True)
            self._predicted = (
                key,
                [
                    prediction
                    for _, image in self._read(images, "predict")
                    for _, prediction in predictor.predict([image])
                ],
            )
        found = self._predicted[1]
        rectifier = rectifier_of(self._models[model])
        if config.rectify is None or rectifier is None:
            return found
        return [rectify(prediction, rectifier, config.rectify) for prediction in found]

    def _read(self, images: Sequence[Path], what: str) -> Iterator[tuple[Path, ImageArray]]:
        for path in track(images, description=what, disable=not self._progress):
            yield path, read_image(path)


def image_name(image: ImageArray) -> str:
    """The name by which a job's classifier knows the fold of an image: that of `LabelPipeline`."""
    return hashlib.sha256(image.tobytes()).hexdigest()
