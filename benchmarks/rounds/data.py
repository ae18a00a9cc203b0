"""The images of a benchmark of rounds: generated scenes, or a folder laid out as for quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from benchmarks.quality.folders import TARGET_LABELS, ClassList, LabelledFolder, list_images
from benchmarks.scenes import (
    GENERATOR_VERSION,
    SCENE_ONTOLOGY,
    SOURCE_STYLE,
    generate_scene,
    split_seeds,
)
from models.ontology import Ontology

Images = npt.NDArray[np.uint8]

# Scenes that are held out begin the range; those to train on lie behind them.
_UNLABELLED_OFFSET = 2000
_LABELLED_OFFSET = 20_000
_JUDGING_OFFSET = 30_000
JUDGING_IMAGES = 60


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with labels.

    Attributes:
        ids: of the images.
        images: uint8 (N, H, W, 3) RGB.
        labels: uint8 (N, H, W), 255 where not annotated.
    """

    ids: tuple[str, ...]
    images: Images
    labels: Images

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Images, Images]:
        return self.images[index], self.labels[index]

    def first(self, count: int) -> "ImageSet":
        """The first `count` images."""
        return ImageSet(self.ids[:count], self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class RoundsData:
    """What a benchmark of rounds looks at.

    Attributes:
        name: in results.
        ontology: classes of all labels.
        source: labelled images of the source domain.
        judging: further ones, which no segmenter is trained on: on them it is learnt where one
            errs.
        unlabelled: target images to train on; their labels are for the oracle and for figures.
        held_out: target images on which figures are taken.
    """

    name: str
    ontology: Ontology
    source: ImageSet
    judging: ImageSet
    unlabelled: ImageSet
    held_out: ImageSet


def scenes_data(
    cache: Path, style: str, split: str, counts: tuple[int, int, int], size_hw: tuple[int, int]
) -> RoundsData:
    """Generated scenes, drawn once for the same arguments.

    Args:
        cache: folder of finished sets.
        style: of the target.
        split: "choose" while choosing settings, "test" for figures to report.
        counts: images in source, unlabelled, held_out.
        size_hw: of the scenes in pixels.
    """
    source, unlabelled, held_out = counts
    return RoundsData(
        f"scenes-{style}-{split}",
        SCENE_ONTOLOGY,
        _scenes(cache, SOURCE_STYLE, split_seeds("fit", source, offset=_LABELLED_OFFSET), size_hw),
        _scenes(
            cache,
            SOURCE_STYLE,
            split_seeds("fit", JUDGING_IMAGES, offset=_JUDGING_OFFSET),
            size_hw,
        ),
        _scenes(cache, style, split_seeds(split, unlabelled, offset=_UNLABELLED_OFFSET), size_hw),
        _scenes(cache, style, split_seeds(split, held_out), size_hw),
    )


def folder_data(folder: Path, size_hw: tuple[int, int], counts: tuple[int, int, int]) -> RoundsData:
    """A data set of `benchmarks.quality.folders`; every third target image is held out.

    The images to judge by are those of `source_val`. Images are reduced to `size_hw`; labels of
    the target are read for figures alone.
    """
    classes = ClassList.read(folder / "classes.json")
    source = _read(folder / "source", "labels", classes, size_hw, counts[0])
    target = _read(folder / "target", TARGET_LABELS, classes, size_hw, counts[1] + counts[2])
    held_out = np.arange(len(target)) % 3 == 2
    return RoundsData(
        folder.resolve().name,
        classes.ontology,
        source,
        _read(folder / "source_val", "labels", classes, size_hw, JUDGING_IMAGES),
        _chosen(target, ~held_out),
        _chosen(target, held_out),
    )


def _scenes(cache: Path, style: str, seeds: range, size_hw: tuple[int, int]) -> ImageSet:
    folder = cache / f"v{GENERATOR_VERSION}"
    begin, end = f"{style}-{seeds.start}-", f"-{size_hw[0]}x{size_hw[1]}.npz"
    # A set that was drawn for a larger budget begins with the same scenes.
    counts = [int(path.name[len(begin) : -len(end)]) for path in folder.glob(f"{begin}*{end}")]
    enough = [count for count in counts if count >= len(seeds)]
    path = folder / f"{begin}{min(enough) if enough else len(seeds)}{end}"
    if not enough:
        _draw(path, style, seeds, size_hw)
    with np.load(path, allow_pickle=False) as stored:
        images, labels = (stored[name][: len(seeds)] for name in ("images", "labels"))
    return ImageSet(tuple(map(str, seeds)), images, labels)


def _draw(path: Path, style: str, seeds: range, size_hw: tuple[int, int]) -> None:
    scenes = [
        generate_scene(style, seed, size_hw) for seed in track(seeds, description=f"draw {style}")
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as file:
        np.savez_compressed(
            file,
            images=np.stack([scene.image for scene in scenes]),
            labels=np.stack([scene.label for scene in scenes]),
        )
    unfinished.rename(path)


def _read(
    folder: Path, labels: str, classes: ClassList, size_hw: tuple[int, int], limit: int
) -> ImageSet:
    found = LabelledFolder(tuple(list_images(folder / "images", limit)), folder / labels, classes)
    size_wh = (size_hw[1], size_hw[0])
    images, truth = [], []
    for index in range(len(found)):
        image, label = found[index]
        images.append(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA))
        truth.append(cv2.resize(label, size_wh, interpolation=cv2.INTER_NEAREST))
    ids = tuple(path.stem for path in found.images)
    return ImageSet(ids, np.stack(images).astype(np.uint8), np.stack(truth).astype(np.uint8))


def _chosen(images: ImageSet, which: npt.NDArray[np.bool_]) -> ImageSet:
    ids: Sequence[str] = [name for name, taken in zip(images.ids, which, strict=True) if taken]
    return ImageSet(tuple(ids), images.images[which], images.labels[which])
