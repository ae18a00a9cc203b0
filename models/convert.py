"""Makes a model folder of a file that a service does not take: `python -m models.convert SRC DST`.

    SRC                                              DST
    checkpoint of the compact segmenter (a pickle)   our bundle             needs --classes
    Hugging Face folder with pytorch_model.bin       the same, safetensors
    TorchScript or torch.export file                 folder around it       needs --classes

To be run by a person on a machine of theirs, as a process of its own: it reads pickles, though only
with `torch.load(weights_only=True)`, which refuses anything but tensors and plain containers.
"""

import argparse
import json
import pickle
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.bundle import write_bundle
from models.digest import file_sha256
from models.errors import ModelRefused
from models.ontology import Ontology
from models.segmentation.compact import CompactSegmenter
from models.segmentation.exported import ProgramInput, write_exported_model
from models.segmentation.huggingface_folder import CONFIG_FILE, PREPROCESSOR_FILE, WEIGHTS_FILE
from models.segmentation.loading import check_model
from models.segmentation.program_files import file_kind

# Keys under which training scripts keep the weights, and a prefix that wrappers put before names.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_WRAPPER_PREFIX = "module."


def convert(
    source: Path,
    target: Path,
    ontology: Ontology | None = None,
    program_input: ProgramInput | None = None,
) -> dict[str, Any]:
    """Writes a model folder to `target` and tries it; returns the facts of `check_model`.

    Args:
        ontology: the classes; for Hugging Face folders, which name them themselves, not used.
        program_input: for TorchScript and torch.export files.

    Raises:
        ModelRefused: `model-has-code` if the pickle holds more than tensors,
            `model-classes-missing`, `model-not-supported` if the weights are of no network known
            here, and what `check_model` raises.
        FileExistsError: if `target` exists and is not empty.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    if source.is_dir():
        _convert_huggingface(source, target)
    elif file_kind(source) in ("torchscript", "torch_export"):
        write_exported_model(target, source, _required(ontology), program_input)
    else:
        _convert_compact(source, target, _required(ontology))
    return check_model(target, "cpu")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 1 with the reason on the error stream."""
    parser = argparse.ArgumentParser(
        prog="selvage models convert",
        description="Make a model folder of a pickled checkpoint or an exported program.",
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path, help="the folder to write")
    parser.add_argument("--classes", type=Path, help="classes.json: a list of names, or ontology")
    program = parser.add_argument_group("for TorchScript and torch.export files")
    program.add_argument("--mean", type=float, nargs=3, default=(0.0, 0.0, 0.0))
    program.add_argument("--std", type=float, nargs=3, default=(1.0, 1.0, 1.0))
    program.add_argument("--fixed-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    program.add_argument("--size-multiple", type=int, default=1, metavar="PX")
    given = parser.parse_args(arguments)
    try:
        facts = convert(
            given.source,
            given.target,
            None if given.classes is None else read_classes(given.classes),
            ProgramInput(
                mean=tuple(given.mean),
                std=tuple(given.std),
                fixed_size_hw=None if given.fixed_size is None else tuple(given.fixed_size),
                size_multiple_px=given.size_multiple,
            ),
        )
    except (ModelRefused, OSError, ValueError) as error:
        print(f"not converted: {error}", file=sys.stderr)
        return 1
    print(f"{given.target}: {facts['kind']} with {facts['classes']} classes")
    return 0


def read_classes(path: Path) -> Ontology:
    """The ontology in a `classes.json`, which may also be a plain list of names.

    Raises:
        ValueError: if it is neither.
    """
    content = json.loads(path.read_bytes())
    if isinstance(content, list):
        content = {"classes": [{"name": name} for name in content]}
    return Ontology.from_dict(content)


def _required(ontology: Ontology | None) -> Ontology:
    if ontology is None:
        raise ModelRefused(
            "model-classes-missing",
            "The file does not say what its classes are.",
            "Give them with --classes classes.json: a list of names in the order of training.",
        )
    return ontology


def _convert_compact(source: Path, target: Path, ontology: Ontology) -> None:
    weights = _state_dict(source)
    try:
        classes, channels = weights["classify.weight"].shape[:2]
        module = CompactSegmenter(classes, weights["stem.0.weight"].shape[0], channels)
        module.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelRefused(
            "model-not-supported",
            f"{source.name} does not hold the weights of the compact segmenter.",
            "Of other networks convert the Hugging Face folder, or export them with torch.export.",
        ) from error
    if classes != ontology.num_classes:
        raise ModelRefused(
            "model-classes-mismatch",
            f"The weights are for {classes} classes, --classes has {ontology.num_classes}.",
            "Give the classes with which the model was trained, in the same order.",
        )
    provenance = {"converted_from": source.name, "sha256": file_sha256(source)}
    write_bundle(target, module, ontology, provenance)


def _convert_huggingface(source: Path, target: Path) -> None:
    pickles = sorted(source.glob("pytorch_model*.bin"))
    if not (source / CONFIG_FILE).is_file() or not pickles:
        raise ModelRefused(
            "model-unreadable",
            f"{source.name} is no folder with {CONFIG_FILE} and pytorch_model.bin.",
            "Give a checkpoint file, or a Hugging Face folder with pickled weights.",
        )
    weights: dict[str, Tensor] = {}
    for path in pickles:
        weights.update(_state_dict(path))
    target.mkdir(parents=True, exist_ok=True)
    # Copies, because tensors that share memory cannot be stored as they are.
    copies = {name: tensor.clone().contiguous() for name, tensor in weights.items()}
    save_file(copies, target / WEIGHTS_FILE, metadata={"format": "pt"})
    for name in (CONFIG_FILE, PREPROCESSOR_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelRefused(
            "model-has-code",
            f"{path.name} is no pickle of plain tensors: {str(error).splitlines()[0]}",
            "Save the weights alone: torch.save(model.state_dict(), 'weights.pth').",
        ) from error
    except (OSError, EOFError, RuntimeError) as error:
        raise ModelRefused(
            "model-unreadable", f"{path.name} cannot be read: {error}.", "Copy the file once more."
        ) from error
    for key in _STATE_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelRefused(
            "model-not-supported",
            f"{path.name} holds no dictionary of weights.",
            "Save the weights alone: torch.save(model.state_dict(), 'weights.pth').",
        )
    return {str(name).removeprefix(_WRAPPER_PREFIX): value for name, value in content.items()}


if __name__ == "__main__":
    sys.exit(main())
