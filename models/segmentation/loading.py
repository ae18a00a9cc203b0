"""Finds out what kind of model a folder holds, loads it, and tries it."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bundle import BUNDLE_FILE
from models.connectivity.classifier import Classifier
from models.digest import EXPORTED_MANIFEST
from models.errors import ModelOutputInvalid, ModelRefused
from models.rectification.rectifier import Rectifier
from models.segmentation.base import SegmentationModel
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.exported import ExportedSegmenter, pickle_refused, read_manifest
from models.segmentation.huggingface import HuggingFaceSegmenter
from models.segmentation.huggingface_folder import CONFIG_FILE
from models.segmentation.program_files import file_kind

_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
_PROGRAM_SUFFIXES = (".pt", ".pt2", ".torchscript")
_TRIAL_SIZE_HW = (96, 128)


def detect_kind(folder: Path) -> str:
    """`bundle`, `huggingface`, `torchscript` or `torch_export`, by the files that are there.

    Raises:
        ModelRefused: `model-is-pickle` if there are only pickled weights, `model-has-code` if there
            is only a program that was not added on the machine, `model-unreadable` otherwise.
    """
    if not folder.is_dir():
        raise _nothing(f"'{folder.name}' is no folder.")
    if (folder / BUNDLE_FILE).is_file():
        return "bundle"
    if (folder / EXPORTED_MANIFEST).is_file():
        return str(read_manifest(folder)["kind"])
    if (folder / CONFIG_FILE).is_file():
        return "huggingface"
    raise _refuse_loose_files(folder)


def load_model(folder: Path, device: str) -> SegmentationModel:
    """The model in `folder`, on `device` ("cpu", "cuda:0"), in evaluation mode, in float32.

    Raises:
        ModelRefused: with the reason and what to do about it.
    """
    kind = detect_kind(folder)
    target = torch.device(device)
    if kind == "bundle":
        return BundledSegmenter.load(folder, target)
    if kind == "huggingface":
        return HuggingFaceSegmenter.load(folder, target)
    return ExportedSegmenter.load(folder, target)


def connectivity_of(model: SegmentationModel) -> Classifier | None:
    """The classifier of regions that came with a model; only bundles can have one."""
    return getattr(model, "connectivity", None)


def rectifier_of(model: SegmentationModel) -> Rectifier | None:
    """The rectifier that came with a model; only bundles can have one."""
    return getattr(model, "rectifier", None)


def check_model(folder: Path, device: str) -> dict[str, Any]:
    """Loads the model and tries it on one generated picture of 96 x 128.

    Returns:
        {"kind", "ontology", "classes" (how many), "parameters" (None for an exported program),
        "has_batch_statistics", "has_connectivity" (a classifier of regions), "has_rectifier",
        "seconds" (of loading and trying)}.

    Raises:
        ModelRefused: also if the model fails on the picture (`model-unreadable`), or does not give
            finite scores (`model-output-invalid`) for each class (`model-classes-mismatch`).
    """
    started = time.monotonic()
    model = load_model(folder, device)
    _try(model)
    module = getattr(model, "module", None)
    return {
        "kind": detect_kind(folder),
        "ontology": model.ontology.to_dict(),
        "classes": model.ontology.num_classes,
        "parameters": None if module is None else sum(p.numel() for p in module.parameters()),
        "has_batch_statistics": model.has_batch_statistics,
        "has_connectivity": connectivity_of(model) is not None,
        "has_rectifier": rectifier_of(model) is not None,
        "seconds": time.monotonic() - started,
    }


def _try(model: SegmentationModel) -> None:
    size_hw = getattr(model, "fixed_size_hw", None) or _TRIAL_SIZE_HW
    images = _picture(size_hw).to(model.device)
    try:
        with torch.inference_mode():
            logits = model.forward(images).logits
    except ModelOutputInvalid as error:
        raise _bad_output(str(error)) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelRefused(
            "model-unreadable",
            f"The model fails on a picture of {size_hw[0]} x {size_hw[1]} px: {reason}.",
            "State the size and the normalisation that the model was made for.",
        ) from error
    classes = model.ontology.num_classes
    if logits.dim() != 4 or logits.shape[0] != 1 or 0 in logits.shape:
        raise _bad_output(f"The model gives scores of shape {tuple(logits.shape)}.")
    if logits.shape[1] != classes:
        raise ModelRefused(
            "model-classes-mismatch",
            f"The model gives scores for {logits.shape[1]} classes, its list of classes has "
            f"{classes}.",
            "Give the list of classes with which the model was trained, in the same order.",
        )
    if not bool(torch.isfinite(logits).all()):
        raise _bad_output("The model gives scores that are not finite (NaN or inf).")


def _picture(size_hw: tuple[int, int]) -> Tensor:
    """Two ramps and a checkerboard, one per channel: float32 [1, 3, H, W] in [0, 1]."""
    height, width = size_hw
    down = torch.linspace(0, 1, height)[:, None].expand(height, width)
    across = torch.linspace(0, 1, width).expand(height, width)
    rows, columns = torch.arange(height)[:, None] // 8, torch.arange(width) // 8
    board = ((rows + columns) % 2).float()
    return torch.stack([down, across, board])[None]


def _bad_output(reason: str) -> ModelRefused:
    return ModelRefused(
        "model-output-invalid", reason, "Logits of shape [1, K, h, w] are expected."
    )


def _refuse_loose_files(folder: Path) -> ModelRefused:
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.suffix not in {*_PICKLE_SUFFIXES, *_PROGRAM_SUFFIXES}:
            continue
        kind = file_kind(path)
        if kind == "pickle":
            return pickle_refused(path.name)
        if kind in ("torchscript", "torch_export"):
            return ModelRefused(
                "model-has-code",
                f"{path.name} is a program.",
                "On the machine, run "
                f"`selvage models convert {path.name} DST --classes classes.json` and then "
                "`selvage models add DST --name NAME`.",
            )
    return _nothing("The folder holds no model.")


def _nothing(reason: str) -> ModelRefused:
    return ModelRefused(
        "model-unreadable",
        reason,
        "A model is a folder with bundle.json, or with config.json and model.safetensors; see "
        "docs/models.md.",
    )
