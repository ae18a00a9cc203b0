"""Region models as files, and by name; what can be known of them without torch."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from models.digest import file_sha256
from models.errors import ModelRefused

REGION_MODEL_FILE: Final = "region_model.json"
REGION_MODEL_KIND: Final = "selvage-region-model"
WEIGHTS_FILE: Final = "region_model.safetensors"
FORMAT_VERSION: Final = 1

BUILT_IN: Final = ("nano", "graph")
NANO_FOLDER: Final = Path(__file__).parent / "promptable" / "nano"

# Raised by hand when a change of code changes what graph regions look like.
GRAPH_VERSION: Final = 3
GRAPH_PACKAGE: Final = "scikit-image"


def unreadable(reason: str) -> ModelRefused:
    """The refusal of a folder that holds no region model that works."""
    return ModelRefused(
        "region-model-unreadable",
        reason,
        "Copy the folder once more, or make it again with `selvage models pull`.",
    )


def read_region_model_json(folder: Path) -> dict[str, Any]:
    """The description of the region model in `folder`, its parts of the right types.

    Raises:
        ModelRefused: `region-model-unreadable`.
    """
    try:
        content = json.loads((folder / REGION_MODEL_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise unreadable(f"{REGION_MODEL_FILE} cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("kind") != REGION_MODEL_KIND:
        raise unreadable(f"{REGION_MODEL_FILE} is not of kind {REGION_MODEL_KIND}.")
    if content.get("format_version") != FORMAT_VERSION:
        raise unreadable(
            f"{REGION_MODEL_FILE} has format version {content.get('format_version')}; this "
            f"program reads version {FORMAT_VERSION}."
        )
    if not isinstance(content.get("architecture"), dict):
        raise unreadable(f"{REGION_MODEL_FILE} has no object 'architecture'.")
    files = content.get("files")
    if not isinstance(files, dict) or set(files) != {WEIGHTS_FILE}:
        raise unreadable(f"{REGION_MODEL_FILE} does not list {WEIGHTS_FILE} alone.")
    return content


def region_model_digest(content: dict[str, Any]) -> str:
    """SHA-256 over all that its answers depend on; where it comes from makes no difference."""
    what = {k: content[k] for k in ("architecture", "files", "proposals") if k in content}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def built_in_digest(name: str) -> str:
    """The digest of a region model that ships with the program.

    Raises:
        ModelRefused: `region-model-missing` if there is none of this name, its weights are not
            there, or what it needs is not installed.
    """
    if name == "nano":
        return region_model_digest(read_region_model_json(nano_folder()))
    if name == "graph":
        return hashlib.sha256(
            f"graph:{GRAPH_VERSION}:{graph_library_version()}".encode()
        ).hexdigest()
    raise ModelRefused(
        "region-model-missing",
        f"There is no built-in region model '{name}'.",
        f"Built in are {', '.join(BUILT_IN)}.",
    )


def nano_folder() -> Path:
    """The folder of the nano SAM.

    Raises:
        ModelRefused: `region-model-missing` if it is not there.
    """
    if not (NANO_FOLDER / REGION_MODEL_FILE).is_file():
        raise ModelRefused(
            "region-model-missing",
            "The weights of the nano SAM are not part of this installation.",
            "Install Selvage from a full checkout, or train them: "
            "`python -m benchmarks.region_model train`.",
        )
    return NANO_FOLDER


def graph_library_version() -> str:
    """The installed version of scikit-image.

    Raises:
        ModelRefused: `region-model-missing` if it is not installed.
    """
    try:
        return version(GRAPH_PACKAGE)
    except PackageNotFoundError as error:
        raise ModelRefused(
            "region-model-missing",
            "Graph regions need scikit-image, which is not installed.",
            "Install the extra: pip install 'selvage[graph]'.",
        ) from error


def check_weights(folder: Path, content: dict[str, Any]) -> Path:
    """The file of the weights, its digest checked.

    Raises:
        ModelRefused: `region-model-unreadable`.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise unreadable(f"{WEIGHTS_FILE} is not there.")
    if file_sha256(path) != content["files"][WEIGHTS_FILE]:
        raise unreadable(f"{WEIGHTS_FILE} is damaged: its SHA-256 is not the one that is noted.")
    return path
