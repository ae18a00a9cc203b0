"""One queue message: claim its chunk, do the work of its kind, give it back when that fails.

Imports no torch: what a process can do is handed in, kind by kind (`workers.label_kinds`,
`workers.light_kinds`).
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import structlog

from api_schemas.problems import ProblemError, StorageUnavailable
from domain import leases, tracing
from domain.job_states import fail_job, settle
from domain.leases import ClaimedChunk, LeaseLost
from storage.catalog import jobs
from workers.committing import Draining, JobOver
from workers.runtime import Runtime, log

AnyRuntime = TypeVar("AnyRuntime", bound=Runtime)
Handlers = Mapping[str, Callable[[AnyRuntime, ClaimedChunk], None]]
STORE_PAUSE_SECONDS: Final = 2.0


class JobHopeless(Exception):
    """The job must end: its next chunk would meet the same obstacle, which `problem` describes."""

    def __init__(self, problem: ProblemError) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def run_chunk(runtime: AnyRuntime, handlers: Handlers[AnyRuntime], chunk_id: str) -> None:
    """Work on a chunk if nobody else does. Safe to call twice with one id, at any time.

    Where the device is somebody else's for now, the chunk goes to another worker, and this call
    returns when the device is free.
    """
    if runtime.draining.is_set():
        leases.send_again(runtime.catalog, chunk_id)
        return
    if runtime.share is None:
        _claim_and_work(runtime, handlers, chunk_id)
        return
    with runtime.share.working() as may_work:
        if may_work:
            _claim_and_work(runtime, handlers, chunk_id)
            return
    leases.send_again(runtime.catalog, chunk_id)
    runtime.share.wait(runtime.draining)
    runtime.queue.wake()


def _claim_and_work(runtime: AnyRuntime, handlers: Handlers[AnyRuntime], chunk_id: str) -> None:
    seconds = runtime.settings.lease_seconds
    claimed = leases.claim(runtime.catalog, chunk_id, runtime.worker_id, seconds)
    if claimed is None:
        return
    runtime.progress.tick("working")
    names = {"chunk": chunk_id, "job": claimed.job.id}
    parent = claimed.job.traceparent
    with tracing.span(f"chunk {claimed.kind}", parent=parent, kind="consumer", **names) as span:
        if trace_id := tracing.trace_id_of(span.traceparent):
            names["trace_id"] = trace_id
        with structlog.contextvars.bound_contextvars(**names, kind=claimed.kind):
            _work(runtime, handlers, claimed)


def _work(runtime: AnyRuntime, handlers: Handlers[AnyRuntime], claimed: ClaimedChunk) -> None:
    log.info("chunk claimed", images=len(claimed.items))
    runtime.lease = claimed.lease
    try:
        handlers[claimed.kind](runtime, claimed)
        log.info("chunk done")
    except LeaseLost:
        log.warning("lease lost; dropping what was not committed")
    except (Draining, JobOver) as reason:
        leases.release(runtime.catalog, claimed.lease)
        log.info("chunk given back", reason=type(reason).__name__)
    except StorageUnavailable as error:
        leases.release(runtime.catalog, claimed.lease)
        log.error("the object store failed; chunk given back", detail=str(error))
        time.sleep(STORE_PAUSE_SECONDS)
    except JobHopeless as error:
        _fail(runtime, claimed, error.problem)
    except Exception as error:  # as if the worker had died: the chunk is split, the image found
        log.error("chunk failed", exc_info=error)
        leases.take_back(runtime.catalog, claimed.lease, runtime.settings.max_worker_kills)
    finally:
        runtime.lease = None
        runtime.progress.tick("idle")
        runtime.queue.wake()


def _fail(runtime: Runtime, claimed: ClaimedChunk, error: ProblemError) -> None:
    """End the job: the next chunk would meet the same obstacle."""
    leases.release(runtime.catalog, claimed.lease)
    with runtime.catalog.write() as session:
        job = jobs.lock_job(session, claimed.job.id)
        if job.status == "running":
            fail_job(job, error)
            settle(session, job)
    log.error("job failed", detail=str(error))
