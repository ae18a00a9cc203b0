"""Adapter of TorchScript and `torch.export` files.

The program takes float32 RGB images in [0, 1] (after the stated normalisation, if any) of shape
[B, 3, H, W] and gives logits [B, K, h, w] that cover the input, or (logits, features). It lies in a
folder with

    selvage-model.json = {
      "format_version": 1, "kind": "torchscript" | "torch_export",
      "file": "model.pt2", "sha256": "…", "ontology": {…},
      "normalisation": {"mean": [r, g, b], "std": [r, g, b]} | null,
      "fixed_size_hw": [h, w] | null, "size_multiple_px": 1
    }

Images go in one by one, since many programs are recorded for a batch of one. A program of a fixed
size sees windows of that size; a smaller image is padded at the right and at the bottom by its last
pixels. Images are never resized to fit.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.digest import EXPORTED_MANIFEST, file_sha256
from models.errors import ModelOutputInvalid, ModelRefused
from models.ontology import Ontology
from models.segmentation.base import SegmentationOutput
from models.segmentation.program_files import file_kind, pickle_free_archive

FORMAT_VERSION = 1
_FILE_NAMES = {"torchscript": "model.pt", "torch_export": "model.pt2"}
_ADD_AGAIN = "Make the folder again with `selvage models convert`."


@dataclass(frozen=True)
class ProgramInput:
    """What a program wants its images to be.

    Attributes:
        mean, std: per channel, applied to images in [0, 1] as (x - mean) / std.
        fixed_size_hw: the only size that it takes, or None.
        size_multiple_px: height and width must be multiples of this number.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fixed_size_hw: tuple[int, int] | None = None
    size_multiple_px: int = 1

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("normalisation is three means and three positive deviations")
        sizes = (*(self.fixed_size_hw or ()), self.size_multiple_px)
        if len(sizes) not in (1, 3) or not all(isinstance(s, int) and s >= 1 for s in sizes):
            raise ValueError("fixed_size_hw is two and size_multiple_px one positive integer")

    def padded_hw(self, height: int, width: int) -> tuple[int, int]:
        """The size to which an image is padded; raises ValueError if it is too large."""
        if self.fixed_size_hw is None:
            multiple = self.size_multiple_px
            return -(-height // multiple) * multiple, -(-width // multiple) * multiple
        if height > self.fixed_size_hw[0] or width > self.fixed_size_hw[1]:
            raise ValueError(
                f"the program takes {self.fixed_size_hw[0]} x {self.fixed_size_hw[1]} px, "
                f"this image has {height} x {width}"
            )
        return self.fixed_size_hw


class ExportedSegmenter:
    """A recorded program on a device. Its weights cannot be adapted."""

    has_batch_statistics = False

    def __init__(
        self,
        program: Callable[[Tensor], Any],
        ontology: Ontology,
        program_input: ProgramInput,
        device: torch.device,
    ) -> None:
        self.ontology = ontology
        self.device = device
        self.fixed_size_hw = program_input.fixed_size_hw
        self._program = program
        self._input = program_input
        self._mean = torch.tensor(program_input.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(program_input.std, device=device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "ExportedSegmenter":
        """The program in `folder`.

        Raises:
            ModelRefused: `model-unreadable`, `model-has-code` (see `program_files`),
                `too-many-classes`.
        """
        manifest = read_manifest(folder)
        path = folder / manifest["file"]
        if file_sha256(path) != manifest["sha256"]:
            raise _unreadable(f"{path.name} is damaged: its SHA-256 is not the one recorded.")
        load = _load_torchscript if manifest["kind"] == "torchscript" else _load_torch_export
        try:
            program = load(path, device)
        except (RuntimeError, ValueError, KeyError, AssertionError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _unreadable(f"{path.name} cannot be read: {reason}.") from error
        return cls(program, _ontology(manifest), _program_input(manifest), device)

    def forward(self, images: Tensor) -> SegmentationOutput:
        height, width = images.shape[-2:]
        padded_hw = self._input.padded_hw(height, width)
        x = (images - self._mean) / self._std
        if padded_hw != (height, width):
            pad = (0, padded_hw[1] - width, 0, padded_hw[0] - height)
            x = F.pad(x, pad, mode="replicate")
        outputs = [_as_pair(self._program(image[None].contiguous())) for image in x]
        features = [pair[1] for pair in outputs if pair[1] is not None]
        return SegmentationOutput(
            torch.cat([logits for logits, _ in outputs]),
            torch.cat(features) if features else None,
            padded_hw,
        )


def write_exported_model(
    folder: Path, file: Path, ontology: Ontology, program_input: ProgramInput | None = None
) -> None:
    """Makes `folder` a model folder around a TorchScript or `torch.export` file.

    The file is told by its content. A `torch.export` file is stored without its sample inputs, so
    that nothing in the folder is a pickle for Python to read.

    Raises:
        ModelRefused: `model-is-pickle`, `model-has-code`, `model-unreadable`.
    """
    program_input = program_input or ProgramInput()
    kind = file_kind(file)
    if kind == "pickle":
        raise pickle_refused(file.name)
    if kind not in _FILE_NAMES:
        raise ModelRefused(
            "model-unreadable",
            f"{file.name} is neither a TorchScript nor a torch.export file.",
            "Save the model with `torch.export.save` or `torch.jit.save`.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _FILE_NAMES[kind]
    if kind == "torch_export":
        target.write_bytes(pickle_free_archive(file).getbuffer())
    else:
        shutil.copyfile(file, target)
    manifest = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "file": target.name,
        "sha256": file_sha256(target),
        "ontology": ontology.to_dict(),
        "normalisation": {"mean": list(program_input.mean), "std": list(program_input.std)},
        "fixed_size_hw": program_input.fixed_size_hw,
        "size_multiple_px": program_input.size_multiple_px,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / EXPORTED_MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of `selvage-model.json`, checked; raises ModelRefused `model-unreadable`."""
    try:
        manifest = json.loads((folder / EXPORTED_MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(f"{EXPORTED_MANIFEST} cannot be read: {error}.") from error
    if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
        raise _unreadable(f"{EXPORTED_MANIFEST} is not of format version {FORMAT_VERSION}.")
    if manifest.get("kind") not in _FILE_NAMES:
        raise _unreadable(f"{EXPORTED_MANIFEST} has the unknown kind '{manifest.get('kind')}'.")
    name = manifest.get("file")
    if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
        raise _unreadable(f"{EXPORTED_MANIFEST} names the file '{name}', which is not there.")
    return manifest


def pickle_refused(name: str) -> ModelRefused:
    """The refusal of a pickled checkpoint."""
    return ModelRefused(
        "model-is-pickle",
        f"{name} is a pickle, and reading a pickle can run any code.",
        "On a machine that may read it, run "
        f"`selvage models convert {name} DST --classes classes.json` and use DST.",
    )


def _unreadable(reason: str) -> ModelRefused:
    return ModelRefused("model-unreadable", reason, _ADD_AGAIN)


def _ontology(manifest: dict[str, Any]) -> Ontology:
    try:
        return Ontology.from_dict(manifest.get("ontology"))
    except ValueError as error:
        code = "too-many-classes" if "1 to 255 classes" in str(error) else "model-unreadable"
        raise ModelRefused(code, f"The ontology is not valid: {error}.", _ADD_AGAIN) from error


def _program_input(manifest: dict[str, Any]) -> ProgramInput:
    normalisation = manifest.get("normalisation") or {}
    size = manifest.get("fixed_size_hw")
    try:
        return ProgramInput(
            mean=tuple(normalisation.get("mean", (0.0, 0.0, 0.0))),
            std=tuple(normalisation.get("std", (1.0, 1.0, 1.0))),
            fixed_size_hw=None if size is None else tuple(size),
            size_multiple_px=manifest.get("size_multiple_px", 1),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise _unreadable(f"{EXPORTED_MANIFEST} is not valid: {error}.") from error


def _load_torchscript(path: Path, device: torch.device) -> Callable[[Tensor], Any]:
    with warnings.catch_warnings():
        # torch 2.13 advises torch.export; files of the older format are accepted all the same.
        warnings.simplefilter("ignore", DeprecationWarning)
        program: torch.jit.ScriptModule = torch.jit.load(  # type: ignore[no-untyped-call]
            str(path), map_location=device
        )
    return program.eval()


def _load_torch_export(path: Path, device: torch.device) -> Callable[[Tensor], Any]:
    exported = torch.export.load(pickle_free_archive(path))
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        exported = move_to_device_pass(exported, device)
    return exported.module()


def _as_pair(output: Any) -> tuple[Tensor, Tensor | None]:
    if isinstance(output, Tensor):
        return output, None
    parts = output if isinstance(output, tuple | list) else ()
    if len(parts) in (1, 2) and all(isinstance(part, Tensor) for part in parts):
        return parts[0], parts[1] if len(parts) == 2 else None
    raise ModelOutputInvalid(
        f"the program gave {type(output).__name__}; logits or (logits, features) was expected"
    )
