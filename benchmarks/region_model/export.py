"""From a checkpoint of the trainer to the folder of a region model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import Sam

from benchmarks.scenes import GENERATOR_VERSION, SOURCE_STYLE
from models.promptable.sam_architecture import SamArchitecture, build_sam

MOST_BYTES = 8_000_000


@dataclass(frozen=True)
class TrainedSam:
    """What a checkpoint holds.

    Attributes:
        sam: network with the moving average of the weights, in evaluation mode, on the CPU.
        architecture: its shape.
        step: optimizer steps so far.
        settings: of the training.
    """

    sam: Sam
    architecture: SamArchitecture
    step: int
    settings: dict[str, Any]


def read_checkpoint(path: Path) -> TrainedSam:
    """What a checkpoint of `train_region_model` holds, finished or not."""
    content = torch.load(path, weights_only=True, map_location="cpu")
    architecture = SamArchitecture.from_dict(content["settings"]["architecture"])
    sam = build_sam(architecture)
    sam.load_state_dict(content["average"])
    return TrainedSam(sam.eval(), architecture, int(content["step"]), content["settings"])


def facts_of(trained: TrainedSam) -> dict[str, Any]:
    """Where the weights come from, as far as the checkpoint knows."""
    settings = {k: v for k, v in trained.settings.items() if k not in ("architecture", "steps")}
    return {
        "steps": trained.step,
        "planned_steps": trained.settings["steps"],
        **settings,
        "torch": torch.__version__,
    }


def export_nano(checkpoint: Path, folder: Path) -> Path:
    """Write the network trained on generated scenes as a region model, float16.

    Raises:
        ValueError: it is larger than 8 MB, or was fine-tuned on something else.
    """
    trained = read_checkpoint(checkpoint)
    if trained.settings["fine_tuned"]:
        raise ValueError(f"{checkpoint} was not trained on generated scenes alone")
    facts = facts_of(trained)
    facts["scenes"] = facts.pop("images")
    provenance = {
        "trained_by": "python -m benchmarks.region_model train",
        "style": SOURCE_STYLE,
        "generator_version": GENERATOR_VERSION,
        **facts,
    }
    write_small(folder, trained, provenance)
    return folder


def write_small(folder: Path, trained: TrainedSam, provenance: dict[str, Any]) -> None:
    """Write a region model in float16.

    Raises:
        ValueError: its weights would take more than 8 MB.
    """
    from models.promptable.folder import write_region_model

    size_bytes = 2 * sum(value.numel() for value in trained.sam.state_dict().values())
    if size_bytes > MOST_BYTES:
        raise ValueError(f"the weights take {size_bytes / 1e6:.1f} MB, more than 8")
    write_region_model(folder, trained.sam, trained.architecture, provenance, dtype=torch.float16)
