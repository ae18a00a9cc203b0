"""What lies in the folder of a run, read with distrust: specification, model, samples.

    spec.json    {"version": 1, "setting", "seed", "steps", "threads", "recipe": {…}}
    model/       the model to start from
    source/      manifest.jsonl: {"id", "image", "label"}; only with setting "uda"
    target/      manifest.jsonl: {"id", "image", "label", "confidence", "regions"?, "weight"?,
                 "reviewed"?}

Paths in a manifest are relative to its folder. Labels are index PNGs, 255 where there is none;
`confidence` is an 8-bit PNG of round(255 r).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.adaptation.config import SETTINGS, Recipe
from models.adaptation.data import SourceSample, TargetSample
from models.adaptation.errors import RunRefused
from models.config_checks import is_integer, is_number
from models.errors import ConfigError

SPEC_VERSION = 1
_SPEC_KEYS = {"version", "setting", "seed", "steps", "threads", "recipe"}
_CACHE_BYTES = 1 << 30
_MOST_PIXELS = 1 << 27

Sample = TypeVar("Sample", SourceSample, TargetSample)


@dataclass(frozen=True)
class RunSpec:
    """What `spec.json` says.

    Attributes:
        setting: "uda", "source_free" or "black_box".
        seed: of all draws.
        steps: of the optimiser.
        threads: of torch; None leaves it to torch.
        recipe: how it trains.
    """

    setting: str
    seed: int
    steps: int
    threads: int | None
    recipe: Recipe

    @classmethod
    def read(cls, path: Path) -> "RunSpec":
        """Raises RunRefused `bad-spec`."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise _bad(f"{path.name} cannot be read: {error}") from error
        if not isinstance(data, dict) or data.get("version") != SPEC_VERSION:
            raise _bad(f"{path.name} is not of version {SPEC_VERSION}")
        unknown = sorted(set(data) - _SPEC_KEYS)
        if unknown:
            raise _bad(f"{path.name} has the unknown key '{unknown[0]}'")
        setting, threads = data.get("setting"), data.get("threads")
        if setting not in SETTINGS:
            raise _bad(f"setting is one of {', '.join(SETTINGS)}")
        for key, least in (("seed", 0), ("steps", 1)):
            if not is_integer(data.get(key), least, 1 << 53):
                raise _bad(f"{key} is an integer from {least} on")
        if threads is not None and not is_integer(threads, 1, 1024):
            raise _bad("threads is null or an integer from 1 to 1024")
        try:
            recipe = Recipe.from_dict(data.get("recipe", {}))
        except ConfigError as error:
            raise _bad(f"recipe.{error}") from error
        return cls(setting, data["seed"], data["steps"], threads, recipe)


class FolderSamples(Generic[Sample]):
    """Samples of a manifest, read when asked for; as many as fit stay in memory.

    Args:
        folder: with `manifest.jsonl`.
        read: makes a sample of a line.
        num_classes: K; labels are checked against it.

    Raises:
        RunRefused: `bad-spec`; asking for a sample raises it too, and `ontology-mismatch`.
    """

    def __init__(
        self,
        folder: Path,
        read: Callable[[Path, dict[str, Any]], Sample],
        num_classes: int,
    ) -> None:
        self._folder, self._num_classes = folder, num_classes
        self._read: Callable[[Path, dict[str, Any]], Sample] = read
        self._lines = _manifest(folder)
        self._kept: dict[int, Sample] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Sample:
        if index in self._kept:
            return self._kept[index]
        line = self._lines[index]
        try:
            sample = self._read(self._folder, line)
        except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
            raise _bad(
                f"sample '{line['id']}' of {self._folder.name} is not usable: {error}"
            ) from error
        self._check_classes(sample)
        size = sample.image.nbytes + 2 * sample.label.nbytes
        if self._kept_bytes + size <= _CACHE_BYTES:
            self._kept[index] = sample
            self._kept_bytes += size
        return sample

    def _check_classes(self, sample: Sample) -> None:
        beyond = sample.label[(sample.label >= self._num_classes) & (sample.label != 255)]
        if beyond.size:
            raise RunRefused(
                "ontology-mismatch",
                f"the label of '{sample.id}' holds class {int(beyond[0])}, the model has "
                f"{self._num_classes}",
            )


def source_samples(folder: Path, num_classes: int) -> FolderSamples[SourceSample]:
    """The labelled images of `source/`."""
    return FolderSamples(folder, _source_sample, num_classes)


def target_samples(folder: Path, num_classes: int) -> FolderSamples[TargetSample]:
    """The images of `target/` with their frozen labels."""
    return FolderSamples(folder, _target_sample, num_classes)


def _bad(message: str) -> RunRefused:
    return RunRefused("bad-spec", message)


def _manifest(folder: Path) -> list[dict[str, Any]]:
    try:
        text = (folder / "manifest.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise _bad(f"the manifest of {folder.name} cannot be read: {error}") from error
    if not lines:
        raise _bad(f"the manifest of {folder.name} lists no images")
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not isinstance(line.get("id"), str):
            raise _bad(f"line {number} of the manifest of {folder.name} has no id")
    return lines


def _source_sample(folder: Path, line: dict[str, Any]) -> SourceSample:
    image = _read_image(_inside(folder, line["image"]))
    return SourceSample(line["id"], image, _read_map(_inside(folder, line["label"]), image))


def _target_sample(folder: Path, line: dict[str, Any]) -> TargetSample:
    weight, reviewed = line.get("weight", 1.0), line.get("reviewed", False)
    if not is_number(weight, 0, 1e6) or not isinstance(reviewed, bool):
        raise ValueError("weight is a number from 0 on, reviewed true or false")
    image = _read_image(_inside(folder, line["image"]))
    regions = line.get("regions")
    return TargetSample(
        id=line["id"],
        image=image,
        label=_read_map(_inside(folder, line["label"]), image),
        confidence=_read_map(_inside(folder, line["confidence"]), image),
        regions=None if regions is None else json.loads(_inside(folder, regions).read_bytes()),
        weight=float(weight),
        reviewed=reviewed,
    )


def _inside(folder: Path, name: Any) -> Path:
    if not isinstance(name, str):
        raise TypeError("a path is a string")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"'{name}' lies outside the folder")
    return path


def _read_image(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        _check_size(image)
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _read_map(path: Path, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    with Image.open(path, formats=("PNG",)) as stored:
        _check_size(stored)
        if stored.mode not in ("L", "P"):
            raise ValueError(f"{path.name} has mode {stored.mode}, not 8 bits of one channel")
        values = np.asarray(stored)
    if values.shape != image.shape[:2]:
        raise ValueError(f"{path.name} is of another size than its image")
    return values


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too many")
