"""One queue message: claim its chunk, do the work of its kind, give it back when that fails."""

import time
from collections.abc import Callable
from typing import Final

from api_schemas.problems import ProblemError, StorageUnavailable
from domain import leases
from domain.job_states import fail_job, settle
from domain.leases import ClaimedChunk, LeaseLost
from models.errors import ModelRefused
from storage.catalog import jobs
from workers.adapt import adapt_chunk
from workers.committing import Draining, JobOver
from workers.evaluate import evaluate_chunk
from workers.finish import finish_chunk
from workers.fit import fit_chunk
from workers.label import label_chunk
from workers.model_cache import ModelDamaged
from workers.pilot import pilot_chunk
from workers.runtime import Runtime, log

HANDLERS: Final[dict[str, Callable[[Runtime, ClaimedChunk], None]]] = {
    "pilot": pilot_chunk,
    "label": label_chunk,
    "fit": fit_chunk,
    "finish": finish_chunk,
    "evaluate": evaluate_chunk,
    "adapt": adapt_chunk,
}
STORE_PAUSE_SECONDS: Final = 2.0


class ModelUnusable(ProblemError):
    code, title, status = "model-unusable", "The model cannot be loaded", 500


def run_chunk(runtime: Runtime, chunk_id: str) -> None:
    """Work on a chunk if nobody else does. Safe to call twice with one id, at any time."""
    if runtime.draining.is_set():
        leases.send_again(runtime.catalog, chunk_id)
        return
    settings = runtime.settings
    claimed = leases.claim(runtime.catalog, chunk_id, runtime.worker_id, settings.lease_seconds)
    if claimed is None:
        return
    runtime.progress.tick("working")
    context = {"chunk": chunk_id, "job": claimed.job.id, "kind": claimed.kind}
    log.info("chunk claimed", images=len(claimed.items), **context)
    runtime.lease = claimed.lease
    try:
        HANDLERS[claimed.kind](runtime, claimed)
        log.info("chunk done", **context)
    except LeaseLost:
        log.warning("lease lost; dropping what was not committed", **context)
    except (Draining, JobOver) as reason:
        leases.release(runtime.catalog, claimed.lease)
        log.info("chunk given back", reason=type(reason).__name__, **context)
    except StorageUnavailable as error:
        leases.release(runtime.catalog, claimed.lease)
        log.error("the object store failed; chunk given back", detail=str(error), **context)
        time.sleep(STORE_PAUSE_SECONDS)
    except (ModelRefused, ModelDamaged) as error:
        _fail(runtime, claimed, ModelUnusable(str(error)))
    except Exception as error:  # as if the worker had died: the chunk is split, the image found
        log.error("chunk failed", exc_info=error, **context)
        leases.take_back(runtime.catalog, claimed.lease, settings.max_worker_kills)
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
    log.error("job failed", job=claimed.job.id, detail=str(error))
