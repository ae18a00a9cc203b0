"""What the benchmark asks of a labeller, and the folders that one fills."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from benchmarks.quality.folders import LabelArray, read_index_png

MODELS = ("source", "source_bn")
PIPELINES: dict[str, dict[str, Any]] = {
    "predict": {"select": None},
    "select": {"select": {"mode": "class_balanced", "keep_fraction": 0.7}},
}


@dataclass(frozen=True)
class LabelFolder:
    """Labels of a set of images: FOLDER/labels/STEM.png and FOLDER/confidence/STEM.png."""

    folder: Path

    def read(self, stem: str) -> tuple[LabelArray, LabelArray]:
        """Label (255 = dropped) and confidence byte of one image, both uint8 (H, W)."""
        return (
            read_index_png(self.folder / "labels" / f"{stem}.png"),
            read_index_png(self.folder / "confidence" / f"{stem}.png"),
        )

    def write(self, stem: str, label: LabelArray, confidence: LabelArray) -> None:
        """Store the maps of one image."""
        for kind, values in (("labels", label), ("confidence", confidence)):
            path = self.folder / kind / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), values):
                raise OSError(f"cannot write {path}")


class Labeller(Protocol):
    """Turns images into pseudo-labels: the running service, or the label path in this process."""

    def register_model(self, folder: Path, name: str) -> str:
        """Make a bundle usable; returns the reference to use from then on."""
        ...

    def adapt(self, model: str, images: Sequence[Path]) -> str:
        """Reference of the model with normalisation re-estimated on unlabelled images."""
        ...

    def label_images(
        self, images: Sequence[Path], model: str, pipeline: dict[str, Any], out: LabelFolder
    ) -> None:
        """Label every image, or raise; `pipeline` is the API's pipeline object."""
        ...


@dataclass(frozen=True)
class LabelRun:
    """One folder labelled by one model through one pipeline."""

    model: str
    images_name: str
    stage: str
    labels: LabelFolder


def label_everything(
    labeller: Labeller,
    bundle: Path,
    target: Sequence[Path],
    others: Mapping[str, Sequence[Path]],
    out: Path,
) -> Iterator[LabelRun]:
    """Label the target images at every stage, and the other folders by `predict`.

    Args:
        labeller: who does it.
        bundle: the source model.
        target: unlabelled target images; `source_bn` is adapted to them.
        others: further image folders by name.
        out: receives one folder for each run; emptied first.
    """
    shutil.rmtree(out, ignore_errors=True)
    references = {"source": labeller.register_model(bundle, "quality-source")}
    references["source_bn"] = labeller.adapt(references["source"], target)
    for model in MODELS:
        for stage, pipeline in PIPELINES.items():
            yield _label(labeller, references[model], target, "target", model, stage, pipeline, out)
        for name, images in others.items():
            pipeline = PIPELINES["predict"]
            yield _label(labeller, references[model], images, name, model, "predict", pipeline, out)


def _label(
    labeller: Labeller,
    reference: str,
    images: Sequence[Path],
    images_name: str,
    model: str,
    stage: str,
    pipeline: dict[str, Any],
    out: Path,
) -> LabelRun:
    labels = LabelFolder(out / model / images_name / stage)
    labeller.label_images(images, reference, pipeline, labels)
    return LabelRun(model, images_name, stage, labels)
