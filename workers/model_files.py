"""Model versions on the local disk, found by digest. No torch.

A folder in the cache is complete or absent: files are fetched to a temporary folder, checked
against the catalog's SHA-256 and moved into place at once.
"""

import os
import shutil
import tempfile
from pathlib import Path

import structlog

from api_schemas.problems import StorageFull
from models.digest import file_sha256
from storage.catalog.tables import ModelVersionRow
from storage.object_errors import is_full_disk
from storage.objects import ObjectMissing, Objects, model_key

log = structlog.get_logger("workers.model_cache")


class ModelDamaged(RuntimeError):
    """A file of a model version is not what the catalog says it is."""


class ModelFiles:
    """Fetches, verifies and evicts. Used by one thread of one process."""

    def __init__(self, folder: Path, objects: Objects, max_bytes: int) -> None:
        self._folder = folder
        self._objects = objects
        self._max_bytes = max_bytes

    def folder_of(self, version: ModelVersionRow) -> Path:
        """Return a verified local folder with the files of a version, fetching it if needed."""
        folder = self._folder / version.digest
        if folder.is_dir():
            os.utime(folder)
            if self._is_intact(folder, version):
                return folder
            log.warning("a cached model was damaged; fetching it again", digest=version.digest)
            shutil.rmtree(folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._evict(version.size_bytes)
        temporary = Path(tempfile.mkdtemp(prefix=".fetch-", dir=self._folder))
        try:
            for name in version.files:
                self._fetch(version, name, temporary)
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():  # another process may have been faster; its files are the same
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder

    def _fetch(self, version: ModelVersionRow, name: str, folder: Path) -> None:
        try:
            with (folder / name).open("wb") as file:
                for piece in self._objects.stream(model_key(version.digest, name)):
                    file.write(piece)
        except ObjectMissing as error:
            raise ModelDamaged(
                f"File '{name}' of model {version.model_name}:{version.version} is missing in the "
                "object store. Register the model again."
            ) from error
        except OSError as error:
            if is_full_disk(error):
                raise StorageFull("The disk of the model cache is full.") from error
            raise
        if file_sha256(folder / name) != version.files[name]["sha256"]:
            raise ModelDamaged(
                f"File '{name}' of model {version.model_name}:{version.version} is damaged in the "
                "object store. Register the model again under a new name."
            )

    @staticmethod
    def _is_intact(folder: Path, version: ModelVersionRow) -> bool:
        return all(
            (folder / name).is_file() and file_sha256(folder / name) == facts["sha256"]
            for name, facts in version.files.items()
        )

    def _evict(self, incoming_bytes: int) -> None:
        """Remove the least recently used folders until the newcomer fits."""
        folders = sorted(
            (f for f in self._folder.iterdir() if f.is_dir() and not f.name.startswith(".")),
            key=lambda f: f.stat().st_mtime,
        )
        sizes = {f: sum(p.stat().st_size for p in f.iterdir()) for f in folders}
        total = sum(sizes.values()) + incoming_bytes
        for folder in folders:
            if total <= self._max_bytes:
                return
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]
