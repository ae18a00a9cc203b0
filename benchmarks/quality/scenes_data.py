"""Generated scenes written out as a data set, so that choices need no real target images."""

import json
import shutil
import tempfile
from pathlib import Path

import cv2
from rich.progress import Progress, TaskID

from benchmarks.quality.folders import TARGET_LABELS
from benchmarks.scenes import (
    GENERATOR_VERSION,
    SCENE_ONTOLOGY,
    SOURCE_STYLE,
    generate_scene,
    split_seeds,
)
from models.metrics.confusion import IGNORE

SOURCE_IMAGES, VALIDATION_IMAGES, TARGET_IMAGES = 300, 60, 60
SIZE_HW = (240, 320)
SPLITS = ("choose", "test")


def write_scenes(
    cache: Path,
    style: str,
    split: str,
    *,
    counts: tuple[int, int, int] = (SOURCE_IMAGES, VALIDATION_IMAGES, TARGET_IMAGES),
    size_hw: tuple[int, int] = SIZE_HW,
) -> Path:
    """Folder of a data set with day scenes as source and scenes of `style` as target.

    Args:
        cache: where the folder is made, once for the same arguments.
        style: style of the target.
        split: `choose` while choosing settings, `test` for figures to report.
        counts: images in source, source_val and target.
        size_hw: height and width of the scenes in pixels.
    """
    numbers = "-".join(map(str, (*counts, *size_hw)))
    folder = cache / f"scenes-{style}-{split}" / f"v{GENERATOR_VERSION}-{numbers}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".unfinished"))
    source, validation, target = counts
    # Seeds of source_val lie behind those of the target, so that no layout occurs in both.
    parts = (
        ("source", "labels", SOURCE_STYLE, split_seeds("fit", source)),
        ("source_val", "labels", SOURCE_STYLE, split_seeds(split, validation, offset=target)),
        ("target", TARGET_LABELS, style, split_seeds(split, target)),
    )
    with Progress() as bar:
        task = bar.add_task(f"draw scenes ({style})", total=sum(counts))
        for name, labels, part_style, seeds in parts:
            _write_part(unfinished / name, labels, part_style, seeds, size_hw, bar, task)
    document = {**SCENE_ONTOLOGY.to_dict(), "stored_ignore_value": IGNORE}
    (unfinished / "classes.json").write_text(json.dumps(document, indent=1))
    try:
        unfinished.rename(folder)
    except OSError:  # somebody else was faster; the same arguments give the same scenes
        shutil.rmtree(unfinished)
    return folder


def _write_part(
    folder: Path,
    labels: str,
    style: str,
    seeds: range,
    size_hw: tuple[int, int],
    bar: Progress,
    task: TaskID,
) -> None:
    for kind in ("images", labels):
        (folder / kind).mkdir(parents=True)
    for seed in seeds:
        scene = generate_scene(style, seed, size_hw)
        cv2.imwrite(str(folder / "images" / f"{seed:07d}.png"), scene.image[..., ::-1])
        cv2.imwrite(str(folder / labels / f"{seed:07d}.png"), scene.label)
        bar.advance(task)
