"""Labels in this process, without the service: for tests and for quick looks while developing."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.quality.folders import ImageArray, read_image
from benchmarks.quality.labelling import LabelFolder
from models.config import PipelineConfig
from models.normalisation import reestimate_batch_statistics
from models.pipeline import LabelPipeline
from models.segmentation.base import SegmentationModel
from models.segmentation.loading import load_model
from models.selection import fit_thresholds


class LocalLabeller:
    """A `Labeller` over `LabelPipeline`; model references are names of loaded models."""

    def __init__(self, device: str = "cpu", progress: bool = True) -> None:
        self._device = device
        self._progress = progress
        self._models: dict[str, SegmentationModel] = {}

    def register_model(self, folder: Path, name: str) -> str:
        self._models[name] = load_model(folder, self._device)
        return name

    def adapt(self, model: str, images: Sequence[Path]) -> str:
        adapted = f"{model}-adapted"
        result = reestimate_batch_statistics(self._models[model], self._read(images, "adapt"))
        self._models[adapted] = result.model
        return adapted

    def label_images(
        self, images: Sequence[Path], model: str, pipeline: dict[str, Any], out: LabelFolder
    ) -> None:
        config = PipelineConfig.from_dict(pipeline)
        found = self._models[model]
        fit = None
        if config.select is not None and config.select.needs_pilot:
            histogram = LabelPipeline(found, config).pilot(self._read(images, "pilot"))
            fit = fit_thresholds(histogram, config.select)
        labeller = LabelPipeline(found, config, fit)
        for path, image in zip(images, self._read(images, "label"), strict=True):
            (maps,) = labeller.label([image])
            out.write(path.stem, maps.label, maps.confidence)

    def _read(self, images: Sequence[Path], what: str) -> Iterable[ImageArray]:
        shown = track(images, description=what, disable=not self._progress)
        return (read_image(path) for path in shown)
