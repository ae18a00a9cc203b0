"""Our own model format: a folder with `bundle.json` and weights in safetensors.

The classifier of regions and the rectifier are optional: where one is missing, so are its two
entries and its file.

bundle.json = {
  "format_version": 1, "kind": "selvage-bundle",
  "architecture": {"name": "compact", "config": {…}},
  "ontology": {"name", "classes": […]},
  "connectivity": {…},
  "rectifier": {…},
  "files": {"segmenter.safetensors": "<sha256>", "connectivity.safetensors": "<sha256>",
            "rectifier.safetensors": "<sha256>"},
  "provenance": {…}
}
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from models.connectivity.classifier import Classifier
from models.digest import file_sha256
from models.errors import ModelRefused
from models.ontology import Ontology
from models.rectification.rectifier import Rectifier
from models.segmentation.compact import CompactSegmenter

BUNDLE_FILE = "bundle.json"
BUNDLE_KIND = "selvage-bundle"
FORMAT_VERSION = 1
SEGMENTER_FILE = "segmenter.safetensors"
CONNECTIVITY_FILE = "connectivity.safetensors"
RECTIFIER_FILE = "rectifier.safetensors"
_REWRITE = "Write the bundle again with `models.bundle.write_bundle`, or copy it once more."

Part = TypeVar("Part", Classifier, Rectifier)


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle; the module is in evaluation mode, in float32, on the CPU.

    Attributes:
        connectivity: the classifier of regions, if it was fitted.
        rectifier: of this segmenter, if it was fitted.
    """

    module: CompactSegmenter
    ontology: Ontology
    provenance: dict[str, Any]
    connectivity: Classifier | None = None
    rectifier: Rectifier | None = None


def write_bundle(
    folder: Path,
    module: CompactSegmenter,
    ontology: Ontology,
    provenance: dict[str, Any],
    dtype: torch.dtype | None = None,
    connectivity: Classifier | None = None,
    rectifier: Rectifier | None = None,
) -> None:
    """Writes a bundle into `folder`, which is made if need be.

    Args:
        provenance: where the weights come from; JSON, no keys prescribed.
        dtype: in which floating-point tensors are stored, for example `torch.float16` to halve the
            size; None stores them as they are. They are computed with in float32 in any case.
        connectivity: the classifier of regions, if it was fitted.
        rectifier: of this segmenter, if it was fitted.

    Raises:
        ValueError: if module, classifier or rectifier have another number of classes than the
            ontology, or the rectifier another order of them.
    """
    for part, found in (
        ("module", module),
        ("classifier of regions", connectivity),
        ("rectifier", rectifier),
    ):
        if found is not None and found.num_classes != ontology.num_classes:
            raise ValueError(
                f"the {part} has {found.num_classes} classes, the ontology {ontology.num_classes}"
            )
    if rectifier is not None and rectifier.class_names != _names(ontology):
        raise ValueError("the rectifier was fitted for classes of other names or another order")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: _stored(tensor, dtype).detach().cpu().contiguous()
        for name, tensor in module.state_dict().items()
    }
    save_file(tensors, folder / SEGMENTER_FILE)
    names = [SEGMENTER_FILE]
    described: dict[str, Any] = {}
    for key, name, fitted in (
        ("connectivity", CONNECTIVITY_FILE, connectivity),
        ("rectifier", RECTIFIER_FILE, rectifier),
    ):
        (folder / name).unlink(missing_ok=True)
        if fitted is not None:
            save_arrays(fitted.tensors(), folder / name)
            names.append(name)
            described[key] = fitted.config()
    content = {
        "format_version": FORMAT_VERSION,
        "kind": BUNDLE_KIND,
        "architecture": {"name": "compact", "config": module.config()},
        "ontology": ontology.to_dict(),
        **described,
        "files": {name: file_sha256(folder / name) for name in names},
        "provenance": provenance,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / BUNDLE_FILE).write_text(text, encoding="utf-8")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, its files checked against their digests.

    Raises:
        ModelRefused: `model-unreadable` if it is damaged or of another format, `too-many-classes`,
            `model-classes-mismatch`.
    """
    content = _read_content(folder)
    ontology = _read_ontology(content)
    for name, expected in content["files"].items():
        _check_file(folder, name, expected)
    module = _build_module(content, ontology)
    try:
        module.load_state_dict(load_file(folder / SEGMENTER_FILE))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _unreadable(f"{SEGMENTER_FILE} does not fit the architecture: {error}") from error
    return Bundle(
        module.float().eval(),
        ontology,
        content["provenance"],
        connectivity=_read_connectivity(folder, content, ontology),
        rectifier=_read_rectifier(folder, content, ontology),
    )


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _unreadable(reason: str) -> ModelRefused:
    return ModelRefused("model-unreadable", reason, _REWRITE)


def _read_content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / BUNDLE_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(f"{BUNDLE_FILE} cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("kind") != BUNDLE_KIND:
        raise _unreadable(f"{BUNDLE_FILE} is not of kind {BUNDLE_KIND}.")
    if content.get("format_version") != FORMAT_VERSION:
        raise _unreadable(
            f"{BUNDLE_FILE} has format version {content.get('format_version')}; "
            f"this program reads version {FORMAT_VERSION}."
        )
    parts = {"architecture": dict, "ontology": dict, "files": dict, "provenance": dict}
    for key, kind in parts.items():
        if not isinstance(content.get(key), kind):
            raise _unreadable(f"{BUNDLE_FILE} has no object '{key}'.")
    if SEGMENTER_FILE not in content["files"]:
        raise _unreadable(f"{BUNDLE_FILE} does not list {SEGMENTER_FILE}.")
    return content


def _read_ontology(content: dict[str, Any]) -> Ontology:
    classes = content["ontology"].get("classes")
    if isinstance(classes, list) and len(classes) > 255:
        raise ModelRefused(
            "too-many-classes",
            f"The bundle has {len(classes)} classes; labels are 8 bits wide with 255 for ignore.",
            "Use a model with at most 255 classes.",
        )
    try:
        return Ontology.from_dict(content["ontology"])
    except ValueError as error:
        raise _unreadable(f"The ontology in {BUNDLE_FILE} is not valid: {error}.") from error


def _check_file(folder: Path, name: str, expected: Any) -> None:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise _unreadable(f"{BUNDLE_FILE} lists the file '{name}', which is not there.")
    if file_sha256(path) != expected:
        raise _unreadable(f"{name} is damaged: its SHA-256 is not the one in {BUNDLE_FILE}.")


def _read_connectivity(
    folder: Path, content: Mapping[str, Any], ontology: Ontology
) -> Classifier | None:
    described = _described(content, "connectivity", CONNECTIVITY_FILE)
    if described is None:
        return None
    path = folder / CONNECTIVITY_FILE
    classifier = _read_part("classifier of regions", Classifier.from_tensors, described, path)
    if classifier.num_classes != ontology.num_classes:
        raise _other_classes(
            f"The classifier of regions has {classifier.num_classes} classes, the ontology "
            f"{ontology.num_classes}.",
            "Fit the classifier anew for this model.",
        )
    return classifier


def _read_rectifier(
    folder: Path, content: Mapping[str, Any], ontology: Ontology
) -> Rectifier | None:
    described = _described(content, "rectifier", RECTIFIER_FILE)
    if described is None:
        return None
    rectifier = _read_part("rectifier", Rectifier.from_tensors, described, folder / RECTIFIER_FILE)
    if rectifier.class_names != _names(ontology):
        raise _other_classes(
            f"The rectifier was fitted for the classes {', '.join(rectifier.class_names)}, the "
            f"ontology has {', '.join(_names(ontology))}.",
            "Fit the rectifier anew for this model.",
        )
    return rectifier


def _described(content: Mapping[str, Any], key: str, name: str) -> dict[str, Any] | None:
    """The description of an optional part, None where there is neither it nor its file."""
    config = content.get(key)
    if config is None and name not in content["files"]:
        return None
    if not isinstance(config, dict) or name not in content["files"]:
        raise _unreadable(f"{BUNDLE_FILE} needs the object '{key}' and {name}, or neither.")
    return config


def _read_part(
    called: str,
    from_tensors: Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], Part],
    config: dict[str, Any],
    path: Path,
) -> Part:
    try:
        return from_tensors(config, load_arrays(path))
    # AttributeError, TypeError: entries of the description that are of other types than they should
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(f"The {called} cannot be read: {error}.") from error


def _names(ontology: Ontology) -> tuple[str, ...]:
    return tuple(info.name for info in ontology.classes)


def _other_classes(reason: str, remedy: str) -> ModelRefused:
    return ModelRefused("model-classes-mismatch", reason, remedy)


def _build_module(content: dict[str, Any], ontology: Ontology) -> CompactSegmenter:
    architecture = content["architecture"]
    if architecture.get("name") != "compact" or not isinstance(architecture.get("config"), dict):
        raise _unreadable(f"The architecture '{architecture.get('name')}' is not known.")
    try:
        module = CompactSegmenter.from_config(architecture["config"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unreadable(f"The architecture cannot be built: {error}.") from error
    if module.num_classes != ontology.num_classes:
        raise _other_classes(
            f"The network has {module.num_classes} classes, the ontology {ontology.num_classes}.",
            "Correct the ontology in bundle.json.",
        )
    return module
