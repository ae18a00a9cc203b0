"""Run folders of trainings that are over: their worker died before it could remove them."""

import os
from pathlib import Path

from domain.job_states import is_done
from storage.catalog.jobs import get_job
from workers.runtime import log
from workers.training.run_folder import RunFolder
from workers.training.runtime import TrainingRuntime


def remove_leftovers(runtime: TrainingRuntime, *, keep: str) -> None:
    """Remove the folders of jobs that are done or gone, where nothing trains any more."""
    runs = runtime.settings.trainings_dir / "runs"
    for path in sorted(runs.iterdir()) if runs.is_dir() else []:
        if path.name != keep and _is_over(runtime, path):
            folder = RunFolder(path)
            lock = folder.lock()
            if lock is None:
                continue
            log.info("removed the folder of a training that is over", job=path.name)
            folder.remove()
            os.close(lock)


def _is_over(runtime: TrainingRuntime, path: Path) -> bool:
    with runtime.catalog.read() as session:
        job = get_job(session, path.name)
    return job is None or is_done(job)
