"""What the programs of this folder have in common on the command line: data, model, regions."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from api_schemas.models import BUILT_IN_REGION_MODELS
from benchmarks.quality.folders import TARGET_LABELS, ClassList, LabelledFolder, list_images
from benchmarks.quality.scenes_data import SIZE_HW, SPLITS, write_scenes
from benchmarks.quality.source_model import BUDGETS, source_model_bundle
from benchmarks.scenes import STYLES
from models.bundle import read_bundle
from models.digest import folder_digest

CACHE = Path(".cache/quality")


@dataclass(frozen=True)
class DataSet:
    """A data set as the command line asks for it.

    Attributes:
        folder: laid out as `benchmarks.quality.folders` says.
        name: in the result.
        classes: of all its labels.
        source: labelled images to train on.
        target: images of the new domain.
        limit: images of each folder at most.
    """

    folder: Path
    name: str
    classes: ClassList
    source: LabelledFolder
    target: list[Path]
    limit: int | None

    @property
    def validation(self) -> LabelledFolder | None:
        """`source_val`, if there is one."""
        folder = self.folder / "source_val"
        return self._labelled(folder, folder / "labels") if folder.is_dir() else None

    def target_truth(self) -> LabelledFolder:
        """The target with its labels, which only finished labels may be compared with."""
        return LabelledFolder(
            tuple(self.target), self.folder / "target" / TARGET_LABELS, self.classes
        )

    def _labelled(self, folder: Path, labels: Path) -> LabelledFolder:
        return LabelledFolder(
            tuple(list_images(folder / "images", self.limit)), labels, self.classes
        )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that `open_data`, `source_bundle` and `region_models` read."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="folder of a data set")
    where.add_argument(
        "--scenes", metavar="STYLE", choices=sorted(STYLES), help="generated scenes as target"
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="choose", help="scenes to choose by, or to report"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=list(SIZE_HW),
        metavar=("H", "W"),
        help="of the scenes in pixels (240 320)",
    )
    parser.add_argument("--budget", choices=BUDGETS, default="small", help="training time")
    parser.add_argument("--bundle", type=Path, help="use this source model instead of training one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use at most so many images of each folder")
    parser.add_argument(
        "--region-model",
        action="append",
        type=_region_model,
        metavar="NAME[=FOLDER]",
        help="region model of the stages for regions, graph if none is given; may be repeated",
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--cache", type=Path, default=CACHE, help="trained models and labels")


def open_data(options: argparse.Namespace) -> DataSet:
    """The data set that the command line names; scenes are drawn if need be."""
    if options.scenes is None:
        folder, name = options.data, options.data.resolve().name
    else:
        height, width = options.size
        folder = write_scenes(options.cache, options.scenes, options.split, size_hw=(height, width))
        name = folder.parent.name
    classes = ClassList.read(folder / "classes.json")
    source = LabelledFolder(
        tuple(list_images(folder / "source" / "images", options.limit)),
        folder / "source" / "labels",
        classes,
    )
    target = list_images(folder / "target" / "images", options.limit)
    return DataSet(folder, name, classes, source, target, options.limit)


def source_bundle(options: argparse.Namespace, data: DataSet) -> Path:
    """The folder of the source model: the one that is given, or one trained on the source.

    Raises:
        ValueError: the model that is given has other classes than the data set.
        ModelRefused: it cannot be read.
    """
    if options.bundle is None:
        return source_model_bundle(
            data.source, BUDGETS[options.budget], seed=options.seed, cache=options.cache / "models"
        )
    names = tuple(c.name for c in read_bundle(options.bundle).ontology.classes)
    if names != data.classes.names:
        raise ValueError(f"{options.bundle} knows other classes than {data.folder}")
    bundle: Path = options.bundle
    return bundle


def source_facts(options: argparse.Namespace) -> dict[str, str | None]:
    """How the result names the source model."""
    if options.bundle is None:
        return {"budget": options.budget, "bundle": None}
    return {"budget": None, "bundle": folder_digest(options.bundle)}


def source_label(options: argparse.Namespace) -> str:
    """The source model in a word."""
    return str(options.budget if options.bundle is None else options.bundle.resolve().name)


def region_models(options: argparse.Namespace) -> dict[str, Path | None]:
    """{name: folder or None} of the region models that are asked for."""
    return dict(options.region_model or [("graph", None)])


def region_model_digests(found: Mapping[str, Path | None]) -> dict[str, str | None]:
    """{name: SHA-256 of what decides its answers}; None for one that a service knows."""
    from models.promptable.builtin import built_in_digest

    digests: dict[str, str | None] = {}
    for name, folder in found.items():
        digests[name] = None if folder is None else folder_digest(folder)
        if name in BUILT_IN_REGION_MODELS:
            digests[name] = built_in_digest(name)
    return digests


def stage_names(text: str) -> tuple[str, ...]:
    """`a,b,c` as names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _region_model(text: str) -> tuple[str, Path | None]:
    name, has_folder, folder = text.partition("=")
    if not name or (has_folder and not folder) or (folder and name in BUILT_IN_REGION_MODELS):
        names: Sequence[str] = BUILT_IN_REGION_MODELS
        raise argparse.ArgumentTypeError(
            f"'{text}' is not NAME[=FOLDER]; {' and '.join(names)} have no folder"
        )
    return name, Path(folder) if folder else None
