"""The scheduler: plans jobs, dispatches chunks, repairs what was lost.

`python -m workers.scheduler`. Several may run; a lock in the catalog lets one act. No torch.
"""

import signal
import time
from collections import Counter
from types import FrameType
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import ProblemError, StorageUnavailable
from domain import job_states, planning, quotas, rounds, schedules, sweep, tracing
from domain import jobs as jobs_use_cases
from domain.dispatch import DispatchLimits, dispatch
from domain.housekeeping import HousekeepingThread
from domain.logs import set_up_logs
from domain.round_turn import Limits
from domain.settings import Settings
from domain.webhook_sender import SenderThread
from storage.catalog import jobs
from storage.catalog.advancing import DueJob, due_jobs, past_deadline
from storage.catalog.engine import Catalog
from storage.catalog.migrations import require_current
from storage.catalog.tables import JobRow
from storage.catalog.workers import drop_lock, hold_lock
from storage.kept_objects import KeptObjects
from storage.objects import Objects
from storage.queue import Queue
from workers.joins import join_pilot, merge_evaluation
from workers.reuse import LabelReuse

log = structlog.get_logger("workers.scheduler")
LOCK_NAME: Final = "scheduler"
LOCK_SECONDS: Final = 5.0
LOCK_RENEW_SECONDS: Final = 1.5
MAX_ADVANCE_FAILURES: Final = 5
MAX_ADVANCE_SECONDS: Final = 1.0  # of one turn; then chunks are handed out and the lock renewed
MAX_DUE_JOBS: Final = 500
STORE_PAUSE_SECONDS: Final = 2.0
SILENT_HEARTBEATS: Final = 3


class JobStuck(ProblemError):
    code, title, status = "job-stuck", "The job cannot go on", 500


class Scheduler:
    """One pass of everything is `turn`; `run` repeats it until told to stop."""

    def __init__(
        self, settings: Settings, catalog: Catalog, objects: Objects, queue: Queue
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._objects = objects
        self._queue = queue
        self._owner = new_id("wrk")
        self._lock_renewed_at = float("-inf")
        self._swept_at = float("-inf")
        self._failures: Counter[str] = Counter()
        self._pauses: dict[str, float] = {}
        self._turn_ends_at = float("-inf")
        self._reuse = LabelReuse()
        self._stopping = False
        self._limits = DispatchLimits(
            chunk_seconds=settings.chunk_seconds,
            chunk_max_images=settings.chunk_max_images,
            chunks_per_worker=settings.chunks_per_worker,
            worker_silent_seconds=SILENT_HEARTBEATS * settings.heartbeat_seconds,
        )

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def run(self) -> None:
        listener = self._queue.listener()
        housekeeping = HousekeepingThread(self._settings, self._catalog, self._objects)
        housekeeping.start()
        webhooks = SenderThread(self._settings, self._catalog)
        webhooks.start()
        log.info("scheduler is ready")
        while not self._stopping:
            more = False
            try:
                if self._is_mine():
                    more = self.turn()
            except SQLAlchemyError as error:
                log.error("the catalog failed; trying again", exc_info=error)
                time.sleep(1.0)
            if not more:
                listener.wait(self._settings.poll_seconds)
        webhooks.stop()
        housekeeping.stop()
        with self._catalog.write() as session:
            drop_lock(session, LOCK_NAME, self._owner)
        log.info("scheduler has stopped")

    def _is_mine(self) -> bool:
        now = time.monotonic()
        if now - self._lock_renewed_at < LOCK_RENEW_SECONDS:
            return True
        with self._catalog.write() as session:
            if not hold_lock(session, LOCK_NAME, self._owner, LOCK_SECONDS):
                return False
        self._lock_renewed_at = now
        return True

    def turn(self) -> bool:
        """Advance every job by what is due, hand out chunks, and sweep now and then.

        Returns whether there is more to do at once: long steps give way to handing out chunks.
        """
        if self._queue.was_wiped():
            n = sweep.resend_unclaimed(self._catalog, older_than_seconds=0)
            if n:
                log.warning("the broker has lost its messages; sending again", chunks=n)
        self._fire_schedules()
        more = self._advance_due()
        more = self._advance_campaigns() or more  # behind the jobs that have just ended
        dispatch(self._catalog, self._queue, self._limits)
        if time.monotonic() - self._swept_at >= self._settings.sweep_seconds:
            self._swept_at = time.monotonic()
            self.sweep()
        return more

    def _fire_schedules(self) -> None:
        limit = self._settings.max_queued_images
        for fired in schedules.fire_due(self._catalog, limit, admit=self._admit):
            log.info(
                "a schedule was due",
                schedule=fired.schedule_id,
                outcome=fired.outcome,
                job=fired.job_id,
            )

    def _advance_campaigns(self) -> bool:
        """Move campaigns on while this turn has time; returns whether one has moved."""
        ends_at = time.monotonic() + MAX_ADVANCE_SECONDS
        limits = Limits(self._settings.max_queued_images, self._admit)
        moved = False
        for campaign_id in rounds.due(self._catalog):
            if time.monotonic() < self._pauses.get(campaign_id, 0.0):
                continue
            while self._advance_campaign(campaign_id, limits):
                moved = True
                if time.monotonic() >= ends_at:
                    return True
        return moved

    def _advance_campaign(self, campaign_id: str, limits: Limits) -> bool:
        """Move one on by a step; one that fails again and again is ended."""
        try:
            more = rounds.advance(self._catalog, campaign_id, limits)
        except SQLAlchemyError:
            raise
        except Exception as error:  # one broken campaign must not stop the others
            self._failures[campaign_id] += 1
            self._pauses[campaign_id] = time.monotonic() + STORE_PAUSE_SECONDS
            log.error("a campaign could not go on", campaign=campaign_id, exc_info=error)
            if self._failures[campaign_id] >= MAX_ADVANCE_FAILURES:
                rounds.give_up(self._catalog, campaign_id, type(error).__name__)
            return False
        self._failures.pop(campaign_id, None)
        self._pauses.pop(campaign_id, None)
        return more

    def _admit(self, session: Session, job: JobRow) -> None:
        quotas.check_job(session, self._settings, job)

    def _advance_due(self) -> bool:
        """Advance the jobs with a step due while this turn has time; False if none is left."""
        with self._catalog.read() as session:
            late = past_deadline(session, MAX_DUE_JOBS)
        for job_id in late:
            if jobs_use_cases.expire(self._catalog, job_id):
                log.warning("the deadline of a job has passed", job=job_id)
        with self._catalog.read() as session:
            found = due_jobs(session, MAX_DUE_JOBS)
        self._turn_ends_at = time.monotonic() + MAX_ADVANCE_SECONDS
        for job in found:
            if time.monotonic() < self._pauses.get(job.id, 0.0):
                continue
            if not self._has_time():
                return True
            self._advance_safely(job)
        return not self._has_time()

    def _has_time(self) -> bool:
        return time.monotonic() < self._turn_ends_at

    def sweep(self) -> None:
        """Look for what was lost."""
        settings = self._settings
        n = sweep.take_back_expired(self._catalog, settings.max_worker_kills)
        if n:
            log.warning("took chunks back from workers that fell silent", chunks=n)
        sweep.resend_unclaimed(self._catalog, settings.resend_seconds)
        with self._catalog.write() as session:
            sweep.expire(
                session,
                worker_silent_seconds=10 * SILENT_HEARTBEATS * settings.heartbeat_seconds,
                idempotency_hours=settings.idempotency_hours,
            )
        sweep.forget_events(self._catalog, settings.event_days * 86400)

    def _advance_safely(self, job: DueJob) -> None:
        """Advance one job; one that fails again and again is ended, so that others go on."""
        try:
            self._advance(job)
        except StorageUnavailable as error:
            self._pauses[job.id] = time.monotonic() + STORE_PAUSE_SECONDS
            log.error("the object store failed; trying again", job=job.id, detail=str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:  # one broken job must not stop the others
            self._failures[job.id] += 1
            log.error("a job could not be advanced", job=job.id, exc_info=error)
            if self._failures[job.id] >= MAX_ADVANCE_FAILURES:
                self._give_up(job.id, error)
        else:
            self._failures.pop(job.id, None)
            self._pauses.pop(job.id, None)

    def _advance(self, job: DueJob) -> None:
        if job.status == "cancelling":
            while sweep.continue_cancelling(self._catalog, job.id) and self._has_time():
                pass
        elif job.phase == "plan":
            planning.plan(self._catalog, job.id, self._reuse, go_on=self._has_time)
        elif job.phase == "pilot":
            join_pilot(self._catalog, self._objects, job.id)
        elif job.phase == "final":
            merge_evaluation(self._catalog, job.id)
        else:
            planning.advance_job_wide(self._catalog, job.id)

    def _give_up(self, job_id: str, error: Exception) -> None:
        with self._catalog.write() as session:
            job = jobs.lock_job(session, job_id)
            job_states.fail_job(
                job,
                JobStuck(
                    f"The job could not go on ({type(error).__name__}); the scheduler's log says "
                    "why. Finished labels stay readable."
                ),
            )


def main() -> None:
    """Schedule until told to stop."""
    settings = Settings()
    set_up_logs(settings)
    tracing.set_up("scheduler")
    catalog = Catalog(settings.catalog_url)
    require_current(catalog.engine)
    scheduler = Scheduler(
        settings,
        catalog,
        KeptObjects.open_kept(settings.store_address, catalog),
        Queue(settings.broker_url),
    )
    signal.signal(signal.SIGTERM, scheduler.stop)
    signal.signal(signal.SIGINT, scheduler.stop)
    scheduler.run()
    tracing.shut_down()


if __name__ == "__main__":
    main()
