"""The zip of an export on its way to disk: whole, checked, or not there at all."""

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from api_schemas.exports import Export
from selvage_client.errors import SelvageError, client_problem, invalid_input

OnBytes = Callable[[int, int], None]


def target_of(export: Export, path: str | os.PathLike[str]) -> Path:
    """Return where the file of an export goes: `path`, or into it if that is a folder.

    Raises:
        InvalidInput: the folder above is not there, or the export has no file.
    """
    if "download" not in export.links:
        raise invalid_input(f"Export {export.id} is {export.status} and has no file to download.")
    target = Path(path)
    if target.is_dir():
        target = target / f"{export.format}-{export.id}.zip"
    if not target.parent.is_dir():
        raise invalid_input(f"'{target.parent}' is no folder. Make it first.")
    return target


class ExportFile:
    """Takes the bytes of an export; the file is there when the block ends well.

    Raises (at the end of the block):
        SelvageError: other bytes came than the service wrote.
    """

    def __init__(self, export: Export, target: Path, on_bytes: OnBytes | None) -> None:
        self._export = export
        self._target = target
        self._on_bytes = on_bytes
        self._part = target.with_name(f".{uuid.uuid4().hex}.part")
        self._digest = hashlib.sha256()
        self._received = 0

    def __enter__(self) -> "ExportFile":
        self._file = self._part.open("xb")
        return self

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._file.write(piece)
        self._digest.update(piece)
        self._received += len(piece)
        if self._on_bytes is not None:
            self._on_bytes(self._received, self._export.size_bytes or self._received)

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        try:
            if error_type is None:
                self._check()
                os.replace(self._part, self._target)
        finally:
            self._part.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._digest.hexdigest() != self._export.sha256:
            detail = f"{self._received} bytes came, and not those of the export. Try again."
            raise SelvageError(
                client_problem("download-damaged", "The file did not come whole", detail)
            )
