"""Train: fill a run folder, start the process that trains, watch it, register what comes out.

All that this process does can be done again at any moment, by another process on another machine:
the folder is filled anew, the training goes on from the newest checkpoint in the object store, and
what was registered already is found again by its digest.
"""

import os
import time
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.problems import NoUsableImage, StorageUnavailable, TrainingFailed, WorkerLost
from domain.leases import ClaimedChunk, Commit, Outcome
from models.adaptation.config import Recipe
from models.errors import ConfigError
from storage.catalog import chunks
from storage.catalog.models import get_version
from storage.catalog.tables import ModelVersionRow
from storage.object_errors import is_full_disk
from workers.committing import Draining, JobOver
from workers.model_files import ModelDamaged
from workers.run_chunk import JobHopeless
from workers.runtime import log
from workers.training import result
from workers.training.checkpoints import (
    KEPT,
    CheckpointUploads,
    StoredCheckpoint,
    restore_newest,
)
from workers.training.file_cache import DataTooLarge
from workers.training.fill import fill_run, write_spec
from workers.training.lease import TrainingLease
from workers.training.leftovers import remove_leftovers
from workers.training.process import DISK_FULL, GAVE_UP, TrainerProcess, last_words
from workers.training.progress import ProgressTail
from workers.training.runtime import TrainingRuntime

POLL_SECONDS: Final = 0.2
CANCEL_SECONDS: Final = 6.0  # for the last step and its checkpoint, after a cancel
FORGET_SECONDS: Final = 5.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0


def train_chunk(runtime: TrainingRuntime, claimed: ClaimedChunk) -> None:
    """Train the model of a job and end the job with the new version's name.

    Raises:
        LeaseLost, Draining, StorageUnavailable: the chunk is done again, from the last checkpoint.
        JobOver: the job was cancelled.
        JobHopeless: it cannot be done, or gave up, with the reason.
    """
    remove_leftovers(runtime, keep=claimed.job.id)
    Training(runtime, claimed).run()


class Training:
    """One job's training on this machine."""

    def __init__(self, runtime: TrainingRuntime, claimed: ClaimedChunk) -> None:
        self._runtime = runtime
        self._claimed = claimed
        self._params = claimed.job.params
        self._folder = runtime.run_folder(claimed.job.id)
        self._lease = TrainingLease(runtime, claimed)
        self._kept: dict[str, Any] = dict(claimed.result or {})
        self._state: dict[str, Any] = {"stage": "waiting", "steps": self._params["steps"]}
        stored = [StoredCheckpoint.from_dict(c) for c in self._kept.get("checkpoints", [])]
        self._uploads = CheckpointUploads(runtime.objects, claimed.job.id, self._folder, stored)

    def run(self) -> None:
        """Do all of it."""
        lock = self._lock()
        try:
            self._train(lock)
        except (JobOver, JobHopeless):
            self._forget()
            raise
        finally:
            self._uploads.close()
            self._lease.release_devices()
            os.close(lock)

    def _lock(self) -> int:
        """Wait until nothing trains in the folder any more."""
        while (lock := self._folder.lock()) is None:
            self._lease.tick(self._state)
            time.sleep(POLL_SECONDS)
        return lock

    def _train(self, lock: int) -> None:
        try:
            Recipe.from_dict(self._params["recipe"])
        except ConfigError as error:
            raise JobHopeless(TrainingFailed("bad-spec", f"The recipe: {error}.")) from error
        parent = self._parent()
        counts = self._filled(parent)
        restore_newest(
            self._runtime.objects,
            self._claimed.job.id,
            self._folder,
            self._uploads.stored,
            self._lease.tick,
        )
        self._state["stage"] = "waiting"
        self._lease.take_devices(self._state)
        self._run_to_its_end(lock)
        self._lease.release_devices()
        self._store(parent, counts)

    def _parent(self) -> ModelVersionRow:
        with self._runtime.catalog.read() as session:
            version = get_version(session, self._claimed.job.model_version_id or "")
        if version is None:
            raise LookupError(f"the model version of job {self._claimed.job.id} is gone")
        return version

    def _filled(self, parent: ModelVersionRow) -> dict[str, Any]:
        """Fill the folder; returns how many images are used and left out."""
        self._keep({"threads": self._kept.get("threads") or self._runtime.threads})

        def tick(done: int) -> None:
            self._state |= {"stage": "fetching", "images": done}
            self._lease.tick(self._state)

        try:
            counts = fill_run(self._runtime, self._claimed.job, parent, self._folder, tick)
            write_spec(self._folder, self._params, self._kept["threads"])
        except ModelDamaged as error:
            raise JobHopeless(TrainingFailed("model-unusable", str(error))) from error
        except DataTooLarge as error:
            raise JobHopeless(
                TrainingFailed(
                    "training-data-too-large",
                    "The images and labels are more than SELVAGE_TRAINING_CACHE_MAX_BYTES. Raise "
                    "it, or train on a smaller label set.",
                )
            ) from error
        except OSError as error:
            if not is_full_disk(error):
                raise
            self._runtime.files.clear()
            raise JobHopeless(_disk_full()) from error
        if not counts["target"]:
            raise JobHopeless(
                NoUsableImage(
                    f"None of the {counts['left_out']} labels of label set "
                    f"'{self._params['label_set']}' can be used: the images or labels are gone or "
                    "damaged. Freeze another label set."
                )
            )
        return counts

    def _run_to_its_end(self, lock: int) -> None:
        """Start the process until it has a result; one that dies is started again."""
        self._state["stage"] = "training"
        deaths, reached = 0, self._newest_step()
        while self._folder.result() is None:
            code = self._watch(lock)
            if self._folder.result() is not None:
                return
            self._give_up_where_hopeless(code)
            if self._newest_step() > reached:
                deaths, reached = 0, self._newest_step()
            deaths += 1
            log.warning(
                "the process that trains died",
                exit_code=code,
                deaths=deaths,
                last_words=last_words(self._folder),
            )
            if deaths >= self._runtime.settings.training_max_deaths:
                raise JobHopeless(_disk_full() if code == DISK_FULL else _died(deaths, code))
            if code == DISK_FULL:
                self._runtime.files.clear()
            self._pause(min(FIRST_PAUSE_SECONDS * 2**deaths, LONGEST_PAUSE_SECONDS))

    def _newest_step(self) -> int:
        return max(self._folder.whole_checkpoints(), default=-1)

    def _give_up_where_hopeless(self, code: int) -> None:
        error = self._folder.error()
        if code == DISK_FULL or (error or {}).get("code") == "disk-full":
            return
        if error is not None or code == GAVE_UP:
            raise JobHopeless(_told(error or {}))

    def _watch(self, lock: int) -> int:
        """Run the process until it exits; returns its exit code."""
        self._folder.forget_error()
        tail = ProgressTail(self._folder.progress)
        process = TrainerProcess(
            self._folder,
            self._runtime.settings.training_module,
            gpus=self._runtime.gpus,
            threads=self._kept["threads"],
            lock=lock,
        )
        log.info("training started", pid=process.pid, step=self._newest_step())
        try:
            code = self._follow(process, tail)
        except Draining:
            self._stop(process, self._runtime.settings.shutdown_seconds / 2)
            self._last_upload()
            raise
        except JobOver:
            self._stop(process, CANCEL_SECONDS)
            raise
        except BaseException:
            process.kill()
            raise
        process.kill()  # what is left of its group
        return code

    def _follow(self, process: TrainerProcess, tail: ProgressTail) -> int:
        heard_at = time.monotonic()
        while True:
            code = process.exit_code()
            if (line := tail.newest()) is not None:
                heard_at = time.monotonic()
                self._state |= line
            if self._uploads.advance():
                self._note_checkpoints()
            self._lease.tick(self._state)
            if code is not None:
                return code
            if time.monotonic() - heard_at > self._runtime.settings.training_silent_seconds:
                log.error("the process that trains reports nothing; killing it", pid=process.pid)
                process.kill()
            time.sleep(POLL_SECONDS)

    def _stop(self, process: TrainerProcess, seconds: float) -> None:
        """Let the process leave a checkpoint, but no longer than this."""

        def show_life() -> None:
            self._runtime.progress.tick("working")

        process.ask_to_stop()
        if process.wait(seconds, show_life) is None:
            log.warning("the process that trains does not stop; killing it", pid=process.pid)
        process.kill()
        show_life()

    def _last_upload(self) -> None:
        if self._uploads.finish(self._runtime.settings.shutdown_seconds / 4):
            self._note_checkpoints()

    def _note_checkpoints(self) -> None:
        """Tell the catalog which checkpoints there are, then let go of older ones."""
        newest = self._uploads.stored[-KEPT:]
        if not self._keep({"checkpoints": [one.to_dict() for one in newest]}, got_on=True):
            return
        try:
            self._uploads.forget_old()
        except StorageUnavailable as error:  # the collector finds them after the job's end
            log.warning("old checkpoints could not be deleted", detail=error.detail)

    def _keep(self, values: dict[str, Any], *, got_on: bool = False) -> bool:
        """Add to what the next process that takes the chunk finds; whether it was written.

        Args:
            got_on: the workers that died before are forgiven.
        """
        self._kept |= values
        lease = self._claimed.lease

        def forgive(session: Session) -> None:
            chunks.forgive(session, lease)

        work = Commit(chunk_result=self._kept, also=forgive if got_on else None)
        return self._lease.commit(work)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._lease.tick(self._state)
            time.sleep(POLL_SECONDS)

    def _store(self, parent: ModelVersionRow, counts: dict[str, Any]) -> None:
        """Register the new version and end the job with it, in the job's last transaction."""
        self._state["stage"] = "storing"

        def tick() -> None:
            self._lease.tick(self._state)

        checked = result.check_result(self._runtime, self._folder, parent, tick)
        found = result.register(self._runtime, self._claimed, self._folder, parent, checked, counts)
        self._lease.commit(
            Commit(
                outcomes=[Outcome(position=item.position) for item in self._claimed.items],
                close=True,
                job_changes={"result": found, "training": {**self._state, "stage": "done"}},
            )
        )
        self._forget()

    def _forget(self) -> None:
        """Remove what only this training needed."""
        try:
            self._uploads.delete_all(FORGET_SECONDS)
        except StorageUnavailable as error:  # the collector finds them
            log.warning("checkpoints could not be deleted", detail=error.detail)
        self._folder.remove()


def _told(error: dict[str, Any]) -> TrainingFailed:
    """Return the reason that the process gave."""
    step = error.get("step")
    where = f" (step {step})" if isinstance(step, int) else ""
    message = str(error.get("message") or "It gave no reason; the worker's log says more.")
    return TrainingFailed(str(error.get("code", "")), f"{message[:1000]}{where}")


def _disk_full() -> TrainingFailed:
    return TrainingFailed(
        "disk-full",
        "The disk of trainings (SELVAGE_TRAINING_DIR) is full. Make room, or lower "
        "SELVAGE_TRAINING_CACHE_MAX_BYTES, and retry the job.",
    )


def _died(deaths: int, code: int) -> WorkerLost:
    return WorkerLost(
        f"The process that trains died {deaths} times without getting on (last exit code {code}). "
        "Too little memory is the usual reason: lower batch_size or crop_hw of the recipe. The "
        "worker's log has its last words."
    )
