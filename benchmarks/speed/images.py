"""Images to be labelled: generated scenes of the size of CamVid, as JPEG files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import track

from benchmarks.scenes import GENERATOR_VERSION, generate_scene, split_seeds

STYLE: Final = "night"
CAMVID_HW: Final = (360, 480)
JPEG_QUALITY: Final = 90
_SHIFT_PX: Final = 3


def scene_files(cache: Path, count: int, size_hw: tuple[int, int] = CAMVID_HW) -> list[Path]:
    """Return `count` JPEG files of different scenes; those that exist are kept."""
    folder = cache / f"{STYLE}-{size_hw[0]}x{size_hw[1]}-v{GENERATOR_VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    seeds = split_seeds("choose", count)
    for seed in track(seeds, description="scenes", transient=True):
        path = folder / f"{STYLE}_{seed:07d}.jpg"
        if not path.exists():
            _write(path, generate_scene(STYLE, seed, size_hw).image)
        files.append(path)
    return files


def variant_files(sources: list[Path], folder: Path, count: int) -> list[Path]:
    """Return `count` new JPEG files in `folder`: the sources, shifted sideways by some pixels.

    No two are alike, and they are made much faster than scenes.

    Raises:
        ValueError: the images are too narrow for so many shifts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, image in enumerate(_shifted(sources, count)):
        path = folder / f"{index:06d}.jpg"
        _write(path, image)
        files.append(path)
    return files


def _shifted(sources: list[Path], count: int) -> Iterator[npt.NDArray[np.uint8]]:
    images = [np.asarray(Image.open(path)) for path in sources]
    for index in range(count):
        image = images[index % len(images)]
        shift_px = _SHIFT_PX * (index // len(images))
        if shift_px >= image.shape[1]:
            raise ValueError(f"{len(sources)} sources do not give {count} different images")
        yield np.roll(image, shift_px, axis=1)


def _write(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """All or nothing: a half-written file would be kept for the next run."""
    part = path.with_suffix(".part")
    Image.fromarray(image).save(part, "JPEG", quality=JPEG_QUALITY)
    part.replace(path)
