"""From an official checkpoint of Segment Anything to the folder of a region model."""

import pickle
from pathlib import Path

import torch

from models.digest import file_sha256
from models.errors import ModelRefused
from models.promptable.folder import sam_of_weights, write_region_model
from models.promptable.sam_architecture import OFFICIAL, SamArchitecture

_REMEDY = "Download the checkpoint once more: `selvage models pull NAME`."


def convert_official(
    name: str,
    source: Path,
    folder: Path,
    architectures: dict[str, SamArchitecture] | None = None,
) -> None:
    """Write the weights of a checkpoint, a pickle of a state dict, as a region model.

    Tensors and plain containers are unpickled and nothing else (`weights_only`). Run it in a
    process of its own all the same.

    Args:
        name: of the architecture, such as `sam_vit_b`.
        source: the checkpoint.
        folder: is made.
        architectures: by name; the official ones if None.

    Raises:
        ModelRefused: `region-model-unreadable` if there is no such architecture, or the file does
            not hold its weights.
    """
    known = OFFICIAL if architectures is None else architectures
    if name not in known:
        raise _refused(f"There is no architecture '{name}'; there are {', '.join(known)}.")
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        lines = str(error).strip().splitlines() or ["it ends early"]
        raise _refused(f"{source.name} is no checkpoint of tensors: {lines[0]}.") from error
    if not isinstance(weights, dict) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in weights.items()
    ):
        raise _refused(f"{source.name} holds no weights by name.")
    try:
        sam = sam_of_weights(known[name], weights)
    except ValueError as error:
        raise _refused(f"{source.name} is not {name}: {error}.") from error
    provenance = {"converted_from": name, "checkpoint_sha256": file_sha256(source)}
    write_region_model(folder, sam, known[name], provenance)


def _refused(reason: str) -> ModelRefused:
    return ModelRefused("region-model-unreadable", reason, _REMEDY)
