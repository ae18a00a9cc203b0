"""A SAM on disk: a folder with `region_model.json` and weights in safetensors.

region_model.json = {
  "format_version": 1, "kind": "selvage-region-model",
  "architecture": {…},
  "files": {"region_model.safetensors": "<sha256>"},
  "proposals": {…},  (optional: how its proposals are made where nothing else is asked for)
  "provenance": {…}
}
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from segment_anything.modeling import Sam
from torch import Tensor

from models.digest import file_sha256
from models.promptable.base import ProposalConfig
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

# As `segment_anything` normalises images of 0 to 255.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
MOST_POINTS_PER_SIDE = 128


def write_region_model(
    folder: Path,
    sam: Sam,
    architecture: SamArchitecture,
    provenance: dict[str, Any],
    dtype: torch.dtype | None = None,
    proposals: ProposalConfig | None = None,
) -> None:
    """Write a SAM into `folder`, which is made if need be.

    Args:
        sam: the network.
        architecture: its sizes.
        provenance: where the weights come from; JSON, no keys prescribed.
        dtype: in which weights are stored, for example `torch.float16` to halve the size; None
            stores them as they are. They are computed with in float32 in any case.
        proposals: how proposals are made where nothing else is asked for; None: as
            `SamAutomaticMaskGenerator` makes them.
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
        **({} if proposals is None else {"proposals": asdict(proposals)}),
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
    except (TypeError, ValueError) as error:
        raise unreadable(f"The architecture cannot be built: {error}.") from error
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise unreadable(f"{WEIGHTS_FILE} cannot be read: {error}.") from error
    try:
        sam = sam_of_weights(architecture, weights)
    except ValueError as error:
        raise unreadable(f"{WEIGHTS_FILE} does not fit the architecture: {error}.") from error
    broken = sorted(n for n, value in weights.items() if not bool(torch.isfinite(value).all()))
    if broken:
        raise unreadable(f"{WEIGHTS_FILE} has values in {broken[0]} that are not finite.")
    return SamRegionModel(
        sam,
        architecture,
        region_model_digest(content),
        torch.device(device),
        proposal_defaults=_proposals(content),
    )


def _proposals(content: dict[str, Any]) -> ProposalConfig | None:
    given = content.get("proposals")
    if given is None:
        return None
    defaults = asdict(ProposalConfig())
    if (
        not isinstance(given, dict)
        or set(given) != set(defaults)
        or any(type(given[name]) is not type(value) for name, value in defaults.items())
        or given["mode"] not in ("exact", "fast")
        or not 1 <= given["points_per_side"] <= MOST_POINTS_PER_SIDE
    ):
        raise unreadable(f"{REGION_MODEL_FILE} describes no proposals.")
    return ProposalConfig(**given)


def sam_of_weights(architecture: SamArchitecture, weights: dict[str, Tensor]) -> Sam:
    """A network that holds these very tensors.

    What an architecture claims costs nothing until the weights are seen to be there: a network of
    random weights is never made.

    Raises:
        ValueError: if no network has this shape, or it has other weights.
    """
    if architecture.encoder_depth + architecture.decoder_depth > len(weights):
        raise ValueError(f"{len(weights)} tensors are too few for so many blocks")
    try:
        with torch.device("meta"):
            sam = build_sam(architecture)
        sam.load_state_dict(weights, assign=True)
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[:2] or [type(error).__name__]
        raise ValueError(" ".join(line.strip() for line in first)) from error
    # The only values that are no weights.
    for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
        sam.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return sam
