"""SHA-256 of a model folder, over the files that can change what the model does. No torch."""

import hashlib
import json
from pathlib import Path

_READ_BYTES = 1 << 20
ALLOWED_SUFFIXES = (".json", ".safetensors", ".txt")
EXPORTED_MANIFEST = "selvage-model.json"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def model_files(folder: Path) -> list[Path]:
    """The files that make up the model, sorted by name; no subfolders, no links.

    These are `*.json`, `*.safetensors` and `*.txt`, and the one exported program that
    `selvage-model.json` names. A model folder may hold others (a read-me, say): they are no part of
    the model, are not loaded, and do not count in `folder_digest`.
    """
    exported = _exported_file_name(folder)
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and not path.is_symlink()
        and (path.suffix in ALLOWED_SUFFIXES or path.name == exported)
    )


def folder_digest(folder: Path) -> str:
    """SHA-256, in hex, of the lines `name<NUL>sha256<LF>` of `model_files(folder)` in order."""
    digest = hashlib.sha256()
    for path in model_files(folder):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _exported_file_name(folder: Path) -> str | None:
    manifest = folder / EXPORTED_MANIFEST
    if not manifest.is_file():
        return None
    try:
        content = json.loads(manifest.read_bytes())
    except ValueError:
        return None
    name = content.get("file") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None
