"""Labelled image folders on disk, laid out as one data set.

    DATA/classes.json                           ontology and the value that means ignore in the PNGs
    DATA/source/{images,labels}                 for training
    DATA/source_val/{images,labels}             optional
    DATA/target/images
    DATA/target/labels_for_evaluation_only      opened by scoring alone

Images and label PNGs belong together by file stem.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.metrics.confusion import IGNORE
from models.ontology import Ontology

TARGET_LABELS = "labels_for_evaluation_only"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

ImageArray = npt.NDArray[np.uint8]
LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ClassList:
    """What `classes.json` says.

    Attributes:
        ontology: the classes.
        stored_ignore: the value in the label PNGs that means "not annotated".
    """

    ontology: Ontology
    stored_ignore: int

    @classmethod
    def read(cls, path: Path) -> "ClassList":
        """Read a `classes.json`; without `stored_ignore_value` the PNGs use 255."""
        document = json.loads(path.read_text())
        ontology = Ontology.from_dict({k: document[k] for k in ("name", "classes")})
        return cls(ontology, int(document.get("stored_ignore_value", IGNORE)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.ontology.classes)


def list_images(folder: Path, limit: int | None = None) -> list[Path]:
    """The image files of a folder by name, evenly thinned to at most `limit`.

    Raises:
        ValueError: there are none, or two have the same stem.
    """
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise ValueError(f"{folder} holds no images")
    if len({p.stem for p in found}) < len(found):
        raise ValueError(f"{folder} holds two images with the same name before the suffix")
    if limit is None or limit >= len(found):
        return found
    return [found[i * len(found) // limit] for i in range(limit)]


def read_image(path: Path) -> ImageArray:
    """The upright image, uint8 (H, W, 3) RGB."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_index_png(path: Path) -> npt.NDArray[np.uint8]:
    """The stored values of an 8-bit grey or palette PNG, uint8 (H, W).

    Raises:
        ValueError: the file has several channels or more than 8 bits.
    """
    with Image.open(path) as image:
        if image.mode not in {"L", "P"}:
            raise ValueError(f"{path} is a {image.mode} image, not an index PNG")
        return np.asarray(image)


@dataclass(frozen=True)
class LabelledFolder:
    """Images with their labels, read when asked for; an indexable data set for training.

    Attributes:
        images: image files.
        labels_dir: folder of index PNGs with the same stems.
        classes: what the PNG values mean.
    """

    images: tuple[Path, ...]
    labels_dir: Path
    classes: ClassList

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[ImageArray, LabelArray]:
        return read_image(self.images[index]), self.label(index)

    def label_path(self, index: int) -> Path:
        """The label PNG of an image."""
        return self.labels_dir / f"{self.images[index].stem}.png"

    def label(self, index: int) -> LabelArray:
        """The truth of one image, uint8 (H, W), 255 where not annotated.

        Raises:
            FileNotFoundError: the image has no label.
            ValueError: the PNG holds a value that is neither a class nor ignore.
        """
        path = self.label_path(index)
        stored = read_index_png(path)
        known = np.full(256, False)
        known[: len(self.classes.names)] = known[self.classes.stored_ignore] = known[IGNORE] = True
        if not known[stored].all():
            raise ValueError(f"{path} holds {int(stored[~known[stored]][0])}, which is no class")
        return np.where(stored == self.classes.stored_ignore, np.uint8(IGNORE), stored)

    def digest(self) -> str:
        """SHA-256 over names and bytes of the images and labels."""
        total = hashlib.sha256()
        for index, image in enumerate(self.images):
            for path in (image, self.label_path(index)):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.name}\0{content}\n".encode())
        return total.hexdigest()
