"""Checkpoints of a training in the object store, so that another machine goes on from them.

An object is named by the digest of its bytes: a machine that computes a step once more, with other
rounding, never mixes its files with those of the first. Which objects make a checkpoint stands in
the chunk's row, written under its lease when all of them are there.
"""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from domain.logs import in_this_context
from models.digest import file_sha256
from storage.objects import ObjectMissing, Objects, checkpoint_key
from workers.training.file_cache import FileDamaged
from workers.training.run_folder import RunFolder

log = structlog.get_logger("workers.training")
KEPT: Final = 2


@dataclass(frozen=True)
class StoredCheckpoint:
    """One checkpoint in the object store: file name → SHA-256 of its bytes."""

    step: int
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"step": self.step, "files": self.files}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "StoredCheckpoint":
        return cls(int(document["step"]), dict(document["files"]))


class CheckpointUploads:
    """Uploads new checkpoints of a run from a thread of its own, the newest first."""

    def __init__(
        self, objects: Objects, job_id: str, run: RunFolder, stored: list[StoredCheckpoint]
    ) -> None:
        self.stored = stored
        self._objects = objects
        self._job_id = job_id
        self._run = run
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._future: Future[StoredCheckpoint] | None = None

    def advance(self) -> bool:
        """Take note of an upload that has ended and begin the next; whether there is a new one.

        After True `stored` must be written to the catalog, and then `forget_old` be called.
        """
        has_new = False
        if self._future is not None:
            if not self._future.done():
                return False
            has_new = self._take(self._future)
            self._future = None
        newest = max(self._run.whole_checkpoints(), default=-1)
        if newest > max((one.step for one in self.stored), default=-1):
            held = self._hold(newest)
            if held is not None:
                put = in_this_context(put_checkpoint)
                self._future = self._pool.submit(put, self._objects, self._job_id, newest, held)
        return has_new

    def finish(self, seconds: float) -> bool:
        """Upload what is left, as far as the time goes; whether there is a new one."""
        has_new = self.advance()
        while self._future is not None:
            try:
                self._future.result(seconds)
            except TimeoutError:
                return has_new
            except Exception as error:  # `advance` tells it
                log.debug("an upload failed", error=type(error).__name__)
            failed = self._future.exception() is not None
            has_new = self.advance() or has_new
            if failed:
                return has_new
        return has_new

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def delete_all(self, seconds: float) -> None:
        """Delete what the store has of this run; an upload under way is waited for, so long.

        What is left after that is for the collector.

        Raises:
            StorageUnavailable: the store failed.
        """
        if self._future is not None and not self._future.cancel():
            wait([self._future], seconds)
        keys = [found.key for found in self._objects.list(f"checkpoints/{self._job_id}")]
        self._objects.delete(keys)

    def forget_old(self) -> None:
        """Delete the objects of checkpoints that are not among the newest two any more."""
        old, self.stored = self.stored[:-KEPT], self.stored[-KEPT:]
        kept = {digest for one in self.stored for digest in one.files.values()}
        gone = {digest for one in old for digest in one.files.values()} - kept
        if gone:
            self._objects.delete(checkpoint_key(self._job_id, digest) for digest in sorted(gone))

    def _take(self, future: "Future[StoredCheckpoint]") -> bool:
        try:
            done = future.result()
        except Exception as error:  # a store that fails costs a checkpoint, not the training
            log.warning("a checkpoint could not be stored; trying again", error=str(error)[:300])
            return False
        self.stored = [*self.stored, done]
        log.info("checkpoint stored", step=done.step)
        return True

    def _hold(self, step: int) -> Path | None:
        """Link a checkpoint's files aside: the process that trains removes old ones."""
        source = self._run.checkpoint(step)
        held = self._run.path / "uploading"
        shutil.rmtree(held, ignore_errors=True)
        try:
            held.mkdir()
            for file in source.iterdir():
                os.link(file, held / file.name)
        except OSError as error:
            log.warning("a checkpoint is gone before its upload", step=step, error=str(error)[:200])
            return None
        return held


def put_checkpoint(objects: Objects, job_id: str, step: int, folder: Path) -> StoredCheckpoint:
    """Store the files of a checkpoint.

    Raises:
        StorageUnavailable: the store failed; some files may be there.
    """
    files: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        digest = file_sha256(path)
        with path.open("rb") as file:
            objects.put_file(checkpoint_key(job_id, digest), file)
        files[path.name] = digest
    return StoredCheckpoint(step, files)


def restore_newest(
    objects: Objects,
    job_id: str,
    run: RunFolder,
    stored: list[StoredCheckpoint],
    tick: Callable[[], None],
) -> int | None:
    """Bring the newest checkpoint of the store that is whole, unless the run has a newer one.

    Returns:
        The step from which the run goes on; None if it begins anew.

    Raises:
        StorageUnavailable: the store failed.
    """
    local = max(run.whole_checkpoints(), default=None)
    for one in sorted(stored, key=lambda checkpoint: -checkpoint.step):
        if local is not None and local >= one.step:
            break
        try:
            _fetch(objects, job_id, run, one, tick)
        except (ObjectMissing, FileDamaged) as error:
            log.warning("a stored checkpoint is not whole", step=one.step, error=str(error)[:200])
            continue
        return one.step
    return local


def _fetch(
    objects: Objects,
    job_id: str,
    run: RunFolder,
    stored: StoredCheckpoint,
    tick: Callable[[], None],
) -> None:
    temporary = run.path / "fetching"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, digest in stored.files.items():
        path = temporary / Path(name).name
        with path.open("wb") as file:
            for piece in objects.stream(checkpoint_key(job_id, digest)):
                tick()
                file.write(piece)
        if file_sha256(path) != digest:
            raise FileDamaged(name)
    run.checkpoints.mkdir(exist_ok=True)
    os.rename(temporary, run.checkpoint(stored.step))
