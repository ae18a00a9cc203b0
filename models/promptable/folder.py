"""A SAM on disk: a folder with `region_model.json` and weights in safetensors.

region_model.json = {
  "format_version": 1, "kind": "selvage-region-model",
  "architecture": {…},
  "files": {"region_model.safetensors": "<sha256>"},
  "provenance": {…}
}
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from segment_anything.modeling import Sam

from models.digest import file_sha256
from models.promptable.sam import SamRegionModel
from models.promptable.sam_architecture import SamArchitecture, build_sam
from models.region_models import (
    FORMAT_VERSION,
    REGION_MODEL_FILE,
    REGION_MODEL_KIND,
    WEIGHTS_FILE,
    check_weights,
    read_region_model_json,
    region_model_digest,
    unreadable,
)


def write_region_model(
    folder: Path,
    sam: Sam,
    architecture: SamArchitecture,
    provenance: dict[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a SAM into `folder`, which is made if need be.

    Args:
        sam: the network.
        architecture: its sizes.
        provenance: where the weights come from; JSON, no keys prescribed.
        dtype: in which weights are stored, for example `torch.float16` to halve the size; None
            stores them as they are. They are computed with in float32 in any case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.to(dtype) if dtype is not None and value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for name, value in sam.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE)
    content = {
        "format_version": FORMAT_VERSION,
        "kind": REGION_MODEL_KIND,
        "architecture": architecture.to_dict(),
        "files": {WEIGHTS_FILE: file_sha256(folder / WEIGHTS_FILE)},
        "provenance": provenance,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / REGION_MODEL_FILE).write_text(text, encoding="utf-8")


def load_region_model(folder: Path, device: str = "cpu") -> SamRegionModel:
    """The SAM in `folder`, ready on `device`; nothing is unpickled.

    Raises:
        ModelRefused: `region-model-unreadable`: damaged, foreign, of another size than it says, or
            with weights that are not finite.
    """
    content = read_region_model_json(folder)
    path = check_weights(folder, content)
    try:
        architecture = SamArchitecture.from_dict(content["architecture"])
        sam = build_sam(architecture)
    except (TypeError, ValueError, RuntimeError) as error:
        raise unreadable(f"The architecture cannot be built: {error}.") from error
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
        sam.load_state_dict(weights)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise unreadable(f"{WEIGHTS_FILE} does not fit the architecture: {error}") from error
    broken = sorted(n for n, value in weights.items() if not bool(torch.isfinite(value).all()))
    if broken:
        raise unreadable(f"{WEIGHTS_FILE} has values in {broken[0]} that are not finite.")
    return SamRegionModel(sam, architecture, region_model_digest(content), torch.device(device))
