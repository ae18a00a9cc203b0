"""What the benchmark asks of a labeller, and the folders that one fills."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from benchmarks.quality.folders import LabelArray, read_index_png
from benchmarks.quality.stages import PLAIN, Plan, Stage

MODELS = ("source", "source_bn")


@dataclass(frozen=True)
class LabelFolder:
    """Labels of a set of images, each kind in a folder of its own.

    FOLDER/labels/STEM.png and FOLDER/confidence/STEM.png, and FOLDER/regions/STEM.json where a
    stage looked at regions.
    """

    folder: Path

    def read(self, stem: str) -> tuple[LabelArray, LabelArray]:
        """Label (255 = dropped) and confidence byte of one image, both uint8 (H, W)."""
        return (
            read_index_png(self.folder / "labels" / f"{stem}.png"),
            read_index_png(self.folder / "confidence" / f"{stem}.png"),
        )

    @property
    def has_regions(self) -> bool:
        return (self.folder / "regions").is_dir()

    def read_regions(self, stem: str) -> dict[str, Any]:
        """The `regions.json` of one image."""
        document: dict[str, Any] = json.loads(
            (self.folder / "regions" / f"{stem}.json").read_text()
        )
        return document

    def write(
        self,
        stem: str,
        label: LabelArray,
        confidence: LabelArray,
        regions: dict[str, Any] | None = None,
    ) -> None:
        """Store what belongs to one image."""
        for kind, values in (("labels", label), ("confidence", confidence)):
            path = self.folder / kind / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), values):
                raise OSError(f"cannot write {path}")
        if regions is not None:
            path = self.folder / "regions" / f"{stem}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(regions, allow_nan=False))


class Labeller(Protocol):
    """Turns images into pseudo-labels: the running service, or the label path in this process."""

    def register_model(self, folder: Path, name: str) -> str:
        """Make a bundle usable; returns the reference to use from then on."""
        ...

    def register_region_model(self, folder: Path, name: str) -> str:
        """Make the region model of a folder usable; returns its reference in a pipeline."""
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
    """One folder labelled by one model through one pipeline.

    Attributes:
        model: of `MODELS`.
        images_name: name of the image folder.
        stage: row of the stage, see `Stage`.
        labels: what came of it.
        region_model: name of the region model, if there was one.
    """

    model: str
    images_name: str
    stage: str
    labels: LabelFolder
    region_model: str | None = None


def label_everything(
    labeller: Labeller,
    bundle: Path,
    target: Sequence[Path],
    others: Mapping[str, Sequence[Path]],
    out: Path,
    plan: Plan,
) -> Iterator[LabelRun]:
    """Label the target images at every stage, and the other folders by `predict`.

    Args:
        labeller: who does it.
        bundle: the source model.
        target: unlabelled target images; `source_bn` is adapted to them.
        others: further image folders by name.
        out: receives one folder for each run; emptied first.
        plan: the stages; those for regions are run by `source_bn` alone.
    """
    shutil.rmtree(out, ignore_errors=True)
    references = {"source": labeller.register_model(bundle, "quality-source")}
    references["source_bn"] = labeller.adapt(references["source"], target)
    region_models = _registered(labeller, plan)
    stages = {
        "source": list(plan.plain()),
        "source_bn": [*plan.plain(), *plan.adapted(region_models)],
    }
    for model in MODELS:
        for stage in stages[model]:
            yield _label(labeller, references[model], target, "target", model, stage, out)
        for name, images in others.items():
            stage = Stage("predict", PLAIN["predict"])
            yield _label(labeller, references[model], images, name, model, stage, out)


def _registered(labeller: Labeller, plan: Plan) -> dict[str, str]:
    """By which name the labeller knows each region model."""
    if not plan.looks_at_regions:
        return {}
    return {
        name: name if folder is None else labeller.register_region_model(folder, name)
        for name, folder in plan.region_models.items()
    }


def _label(
    labeller: Labeller,
    reference: str,
    images: Sequence[Path],
    images_name: str,
    model: str,
    stage: Stage,
    out: Path,
) -> LabelRun:
    labels = LabelFolder(out / model / images_name / stage.row)
    labeller.label_images(images, reference, stage.pipeline, labels)
    return LabelRun(model, images_name, stage.row, labels, stage.region_model)
