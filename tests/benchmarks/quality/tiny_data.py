"""A data set of a few small images in which colour tells the class."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

COLORS = np.array([[40, 60, 200], [90, 160, 70], [200, 90, 60]], dtype=np.uint8)
STORED_IGNORE = 3
CLASSES = ("sky", "grass", "wall")


def write_classes(
    path: Path, names: Sequence[str] = CLASSES, stored_ignore: int = STORED_IGNORE
) -> None:
    classes = [
        {"id": i, "name": name, "kind": "stuff", "color": COLORS[i].tolist()}
        for i, name in enumerate(names)
    ]
    document = {"name": "tiny", "stored_ignore_value": stored_ignore, "classes": classes}
    path.write_text(json.dumps(document))


def write_folder(images_dir: Path, labels_dir: Path | None, count: int, seed: int) -> None:
    """Write `count` pairs; without `labels_dir` the images alone."""
    rng = np.random.default_rng(seed)
    images_dir.mkdir(parents=True)
    for index in range(count):
        coarse = rng.integers(0, len(CLASSES), (4, 5), dtype=np.uint8)
        truth = cv2.resize(coarse, (40, 32), interpolation=cv2.INTER_NEAREST)
        noise = rng.integers(-9, 10, (32, 40, 3))
        image = np.clip(COLORS[truth] + noise, 0, 255).astype(np.uint8)
        truth[0, :3] = STORED_IGNORE
        cv2.imwrite(str(images_dir / f"im{index}.png"), image[..., ::-1])
        if labels_dir is not None:
            labels_dir.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(labels_dir / f"im{index}.png"), truth)


def write_data(folder: Path) -> Path:
    """Write source, source_val and target with few images each; returns the folder."""
    folder.mkdir(parents=True)
    write_classes(folder / "classes.json")
    write_folder(folder / "source" / "images", folder / "source" / "labels", 4, seed=1)
    write_folder(folder / "source_val" / "images", folder / "source_val" / "labels", 2, seed=2)
    target = folder / "target"
    write_folder(target / "images", target / "labels_for_evaluation_only", 3, seed=3)
    return folder
