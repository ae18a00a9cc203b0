"""Model folders that nobody vouches for: which files may be part of one, and what they must be.

A model is a flat folder of `*.json`, `*.safetensors` and `*.txt`. Nothing here loads a model or
unpickles anything: names are judged first, then the JSON and the headers of the tensors.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from formats.errors import InputRefused

ACCEPTED_SUFFIXES: Final = (".json", ".safetensors", ".txt")
MAX_FILES: Final = 500
MAX_TEXT_BYTES: Final = 64 << 20
MAX_HEADER_BYTES: Final = 100_000_000  # the bound of the safetensors library
_PICKLES: Final = (".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
_PROGRAMS: Final = (".engine", ".onnx", ".pb", ".plan", ".pt2", ".tflite", ".torchscript", ".h5",
                    ".keras")  # fmt: skip
_CODE: Final = (".bat", ".dll", ".exe", ".ipynb", ".js", ".ps1", ".py", ".pyc", ".pyd", ".pyx",
                ".sh", ".so", ".whl")  # fmt: skip
_ARCHIVES: Final = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")
_READ_ME: Final = re.compile(r"(?i)(?:readme|licen[cs]e|notice)(?:\.(?:md|rst|txt))?|.+\.md")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_EXPORTED_MANIFEST: Final = "selvage-model.json"
_CODE_KEYS: Final = ("auto_map", "trust_remote_code", "custom_pipelines")
_ITEM_BYTES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip


def flat_names(names: list[str]) -> dict[str, str]:
    """Return path → file name of the files that make up the model, read-mes left out.

    One folder that holds everything is stripped.

    Args:
        names: relative paths with forward slashes.

    Raises:
        InputRefused: `model-is-pickle`, `model-has-code`, `archive-unsafe` or `model-unreadable`,
            with what to do about it.
    """
    wanted = [name for name in names if not _READ_ME.fullmatch(name.rpartition("/")[2])]
    if len(wanted) > MAX_FILES:
        raise _unreadable(f"It has {len(wanted)} files; at most {MAX_FILES} are taken.")
    prefix = _common_folder(wanted)
    flat = {name: name.removeprefix(prefix) for name in wanted}
    for name in sorted(flat.values()):
        _check_name(name)
    taken: dict[str, str] = {}
    for path in wanted:
        other = taken.get(path.lower())
        if other is not None:
            raise _unreadable(f"Two files are named '{other[:80]}' and '{path[:80]}'.")
        taken[path.lower()] = path
    _check_is_model(set(flat.values()))
    return flat


def _common_folder(names: list[str]) -> str:
    folders = {name.partition("/")[0] for name in names if "/" in name}
    if len(folders) == 1 and all("/" in name for name in names):
        return f"{folders.pop()}/"
    return ""


def _check_name(name: str) -> None:
    shown = name[:80]
    lower = name.lower()
    if lower.endswith(_PICKLES):
        raise pickle_refused(shown)
    if lower.endswith((*_CODE, *_PROGRAMS)):
        raise InputRefused(
            "model-has-code",
            f"'{shown}' is a program, and nothing that is uploaded is run. On the machine, run "
            "`selvage models convert` and then `selvage models add`.",
        )
    if lower.endswith(_ARCHIVES):
        raise InputRefused(
            "archive-unsafe",
            f"'{shown}' is an archive inside the archive; pack its files themselves.",
        )
    if "/" in name:
        raise _unreadable(f"'{shown}' lies in a folder; put all files of the model in one.")
    if not name.endswith(ACCEPTED_SUFFIXES) or not _NAME.fullmatch(name):
        raise _unreadable(
            f"'{shown}' is no part of a model; only *.json, *.safetensors and *.txt with plain "
            "names are taken. Leave it out."
        )


def _check_is_model(names: set[str]) -> None:
    if _EXPORTED_MANIFEST in names:
        raise InputRefused(
            "model-has-code",
            "The folder describes an exported program, and nothing that is uploaded is run. On "
            "the machine, run `selvage models add FOLDER --name NAME`.",
        )
    has_weights = any(name.endswith(".safetensors") for name in names)
    if not has_weights or not names & {"bundle.json", "config.json"}:
        raise _unreadable(
            "It holds no model: bundle.json, or config.json of a Hugging Face folder, beside "
            "weights in *.safetensors."
        )


def pickle_refused(name: str) -> InputRefused:
    """The refusal of a file that is a pickle, by its name or its first bytes."""
    return InputRefused(
        "model-is-pickle",
        f"'{name}' is a pickle, and reading a pickle can run any code. On a machine that may read "
        "it, run `selvage models convert SRC DST` and upload DST.",
    )


def check_contents(folder: Path) -> None:
    """Refuse a folder whose files, of accepted names, are not what their names say.

    Raises:
        InputRefused: `model-is-pickle`, `model-has-code` or `model-unreadable`.
    """
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                check_safetensors(file, path.name, path.stat().st_size)
            else:
                _check_text(file, path.name)


def _check_text(file: BinaryIO, name: str) -> None:
    data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise _unreadable(f"'{name}' has more than {MAX_TEXT_BYTES >> 20} MB.")
    _check_no_pickle(data[:4], name)
    if name.endswith(".json"):
        content = _parsed(data, name)
        for key, value in _entries(content):
            if key in _CODE_KEYS and value not in (None, False):
                raise InputRefused(
                    "model-has-code",
                    f"'{name}' asks for code of its repository to be run ({key}). Use a model "
                    "whose architecture the library has, without that entry.",
                )


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"'{name}' is no JSON that can be read.") from error


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, at any depth, without recursion."""
    waiting = [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def check_safetensors(file: BinaryIO, name: str, size_bytes: int) -> None:
    """Refuse a file whose header does not describe exactly the bytes behind it.

    Raises:
        InputRefused: `model-is-pickle` or `model-unreadable`.
    """
    head = file.read(8)
    header_bytes = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= header_bytes <= min(MAX_HEADER_BYTES, size_bytes - 8):
        _check_no_pickle(head, name)  # not before: the length of a good header may look like one
        raise _damaged(name, "its header is longer than the file")
    header = _parsed(file.read(header_bytes), name)
    if not isinstance(header, dict):
        raise _damaged(name, "its header is no JSON object")
    spans = sorted(_span(name, tensor) for key, tensor in header.items() if key != "__metadata__")
    end = 0
    for start, stop in spans:
        if start != end:
            raise _damaged(name, "its tensors overlap or leave gaps")
        end = stop
    if end != size_bytes - 8 - header_bytes:
        raise _damaged(name, "its tensors are not as long as the file says; it may be cut short")


def _span(name: str, tensor: Any) -> tuple[int, int]:
    """Return (first, end) of a tensor's bytes."""
    try:
        start, stop = tensor["data_offsets"]
        shape, item_bytes = tensor["shape"], _ITEM_BYTES[tensor["dtype"]]
        numbers = (start, stop, *shape)
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(name, "its header names a tensor of unknown kind") from error
    if not all(type(n) is int and 0 <= n < 2**53 for n in numbers) or len(shape) > 16:
        raise _damaged(name, "its header names impossible sizes")
    if stop - start != math.prod(shape) * item_bytes:
        raise _damaged(name, "a tensor has another size than its shape says")
    return start, stop


def _check_no_pickle(head: bytes, name: str) -> None:
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")) or head[:2] == b"PK":
        raise pickle_refused(name)


def _damaged(name: str, reason: str) -> InputRefused:
    return _unreadable(f"'{name}' is no safetensors file that can be read: {reason}.")


def _unreadable(reason: str) -> InputRefused:
    return InputRefused("model-unreadable", f"The model cannot be used. {reason}")
