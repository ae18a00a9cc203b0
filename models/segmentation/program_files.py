"""What a single model file is, and how to read a `torch.export` file without unpickling.

`torch.export.load` of torch 2.13 reads a `.pt2` archive, whose graph is JSON and whose weights are
raw bytes. But it unpickles the sample inputs (`weights_only=True`, and in full if that fails), and
in full any weight or constant that is marked `use_pickle`, any "opaque" constant, and what the
older layout holds. `pickle_free_archive` therefore gives a copy without sample inputs, which are
not needed to run the program, and refuses the rest. `torch.jit.load` has an unpickler of its own in
C++, which makes tensors, numbers, strings and TorchScript objects only; Python's is not called.

Either file is a program. What it does when it runs is not checked.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from models.errors import ModelRefused

_ROOT = "model/"
_SAMPLE_INPUTS = "data/sample_inputs/"
_COPIED_FOLDERS = ("models/", "data/weights/", "data/constants/", ".data/")
_COPIED_FILES = ("archive_format", "archive_version", "byteorder")
_EXPORT_AGAIN = "Export the model again with `torch.export.save` of torch 2.9 or newer."


def file_kind(path: Path) -> str:
    """`torchscript`, `torch_export`, `pickle` or `unknown`, by the content and not the name."""
    try:
        with zipfile.ZipFile(path) as archive:
            # All entries lie in one folder, named after the file that was first written.
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        with path.open("rb") as file:
            # A pickle of protocol 2 or higher, as `torch.save` wrote before it used archives.
            return "pickle" if file.read(1) == b"\x80" else "unknown"
    if "archive_format" in names:
        return "torch_export"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    return "pickle" if "data.pkl" in names else "unknown"


def pickle_free_archive(path: Path) -> io.BytesIO:
    """A copy of a `torch.export` file with its graph and tensors, and nothing that is a pickle.

    The same file gives the same bytes.

    Raises:
        ModelRefused: `model-has-code` if the file has pickled tensors, custom objects or compiled
            code; `model-unreadable` if it is of another layout.
    """
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
            for name in source.namelist():
                inner = name.partition("/")[2]
                if inner.startswith(_COPIED_FOLDERS) or inner in _COPIED_FILES:
                    content = source.read(name)
                    _check_entry(inner, content)
                    target.writestr(zipfile.ZipInfo(_ROOT + inner), content)
                elif inner.startswith(_SAMPLE_INPUTS):
                    target.writestr(zipfile.ZipInfo(_ROOT + inner), b"")
                elif not inner.startswith("extra/"):
                    raise _has_code(f"The file holds '{inner}', which is no graph and no tensor.")
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise ModelRefused(
            "model-unreadable", f"{path.name} is damaged: {error}.", _EXPORT_AGAIN
        ) from error
    copy.seek(0)
    return copy


def _has_code(reason: str) -> ModelRefused:
    return ModelRefused(
        "model-has-code",
        reason,
        "Export a model of plain tensors and operators, without custom objects or tensor "
        "subclasses, and without compiling it.",
    )


def _check_entry(name: str, content: bytes) -> None:
    if name.endswith(".pt"):
        raise _has_code(f"The file holds the pickle '{name}'.")
    if not name.endswith(("_weights_config.json", "_constants_config.json")):
        return
    for key, tensor in _entries(name, content).items():
        # Constants that are no tensors have other names than these two.
        plain = str(tensor.get("path_name", "")).startswith(("weight_", "tensor_"))
        if tensor.get("use_pickle") is not False or not plain:
            raise _has_code(f"'{key}' is stored as a pickle or is no tensor.")


def _entries(name: str, content: bytes) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(content)["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefused("model-unreadable", f"{name} is damaged.", _EXPORT_AGAIN) from error
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise ModelRefused("model-unreadable", f"{name} is damaged.", _EXPORT_AGAIN)
    return entries
