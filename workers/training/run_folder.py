"""The folder of one training on this machine, as the process that trains expects it.

`spec.json`, `model/`, `source/`, `target/` are written for it; `progress.jsonl`, `checkpoints/`,
`result/`, `result.json` and `error.json` are read. One process at a time may have a folder: the
lock is handed down to the process that trains, so that it lasts as long as that one does.
"""

import fcntl
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_STEP: Final = re.compile(r"step-(\d{8,})")
_MAX_DOCUMENT_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def progress(self) -> Path:
        return self.path / "progress.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def result_model(self) -> Path:
        return self.path / "result" / "model"

    @property
    def log(self) -> Path:
        return self.path / "trainer.log"

    def whole_checkpoints(self) -> dict[int, Path]:
        """Return step → folder, oldest first. A checkpoint has its name only once it is whole."""
        if not self.checkpoints.is_dir():
            return {}
        found = {}
        for folder in self.checkpoints.iterdir():
            match = _STEP.fullmatch(folder.name)
            if match and folder.is_dir():
                found[int(match[1])] = folder
        return dict(sorted(found.items()))

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:08d}"

    def result(self) -> dict[str, Any] | None:
        """What the process says of its end; None if it has not come there."""
        return read_document(self.path / "result.json")

    def error(self) -> dict[str, Any] | None:
        """Why the process gave up; None if it did not say."""
        return read_document(self.path / "error.json")

    def forget_error(self) -> None:
        (self.path / "error.json").unlink(missing_ok=True)

    def lock(self) -> int | None:
        """Return a descriptor that holds the lock, or None while another process has it."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def read_document(path: Path) -> dict[str, Any] | None:
    """Return a small JSON object, or None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_DOCUMENT_BYTES + 1)
        document = json.loads(data) if len(data) <= _MAX_DOCUMENT_BYTES else None
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(document, sort_keys=True))
    os.replace(temporary, path)
