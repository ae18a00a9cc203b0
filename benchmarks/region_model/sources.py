"""Labelled images to train a region model on: generated day scenes, or a folder with labels."""

import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmarks.quality.folders import ClassList, LabelledFolder, list_images
from benchmarks.region_model.samples import Source
from benchmarks.scenes import SOURCE_STYLE, generate_scene

SCENE_SIZE_HW = (300, 400)


class SceneSources:
    """Generated scenes of the source style, drawn on first use and then kept (0.5 MB each).

    The styles of the targets stay unseen, as the night stays unseen by a model of the day.
    """

    def __init__(self, seeds: Sequence[int], size_hw: tuple[int, int] = SCENE_SIZE_HW) -> None:
        self._seeds, self._size_hw = seeds, size_hw
        self._kept: dict[int, Source] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    def __getitem__(self, index: int) -> Source:
        if index not in self._kept:
            self._kept[index] = _draw(self._seeds[index], self._size_hw)
        return self._kept[index]

    def draw_all(self, processes: int) -> None:
        """Draws what is not there yet, so that processes started later share it."""
        missing = [index for index in range(len(self)) if index not in self._kept]
        draw = partial(_draw, size_hw=self._size_hw)
        with multiprocessing.Pool(processes) as pool:
            drawn = pool.imap(draw, [self._seeds[index] for index in missing], chunksize=8)
            pairs = zip(missing, drawn, strict=True)
            self._kept.update(track(pairs, "scenes", total=len(missing)))


def _draw(seed: int, size_hw: tuple[int, int]) -> Source:
    scene = generate_scene(SOURCE_STYLE, seed, size_hw)
    # There are never more than 255 instances.
    return scene.image, scene.label, scene.instances.astype(np.uint8)


class FolderSources:
    """A labelled folder; its components of one class stand for instances, which it lacks."""

    def __init__(self, folder: LabelledFolder) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._folder)

    def __getitem__(self, index: int) -> Source:
        image, label = self._folder[index]
        return image, label, None


def labelled_part(data: Path, part: str) -> LabelledFolder:
    """The images and labels of `source` or `source_val` of a data set, and nothing beside them."""
    return LabelledFolder(
        tuple(list_images(data / part / "images")),
        data / part / "labels",
        ClassList.read(data / "classes.json"),
    )
