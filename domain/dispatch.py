"""Which chunk goes to the workers next: priority, then a round robin over jobs.

The queue holds at most two chunks per live worker, so that a new job of high priority waits for
two chunks and not for a queue. Chunks are cut when they are sent, in the size that the measured
speed of the job asks for.
"""

import math
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from storage.catalog import chunks, items, jobs, workers
from storage.catalog.engine import Catalog
from storage.catalog.tables import ChunkRow, JobRow
from storage.queue import LABEL_QUEUE, Queue

FIRST_CHUNK_IMAGES: Final = 4


@dataclass(frozen=True)
class DispatchLimits:
    chunk_seconds: float
    chunk_max_images: int
    chunks_per_worker: int
    worker_silent_seconds: float


def chunk_images(
    seconds_per_image: float | None, pending: int, live_workers: int, limits: DispatchLimits
) -> int:
    """Return how many images the next chunk takes, at least one."""
    if seconds_per_image is None:
        aim = FIRST_CHUNK_IMAGES
    else:
        aim = int(limits.chunk_seconds / max(seconds_per_image, 1e-6))
    fair_share = math.ceil(pending / max(1, live_workers))
    return max(1, min(aim, limits.chunk_max_images, fair_share))


def dispatch(catalog: Catalog, queue: Queue, limits: DispatchLimits) -> int:
    """Send chunks until every live worker has its share; returns how many were sent."""
    sent = 0
    while (chunk_id := _next_chunk(catalog, limits)) is not None:
        if not queue.send_chunk(chunk_id):
            with catalog.write() as session:
                chunks.unsend_one(session, chunk_id)
            break
        sent += 1
    return sent


def _next_chunk(catalog: Catalog, limits: DispatchLimits) -> str | None:
    """Mark the next chunk as sent and return its id; None when there is no room or no work."""
    with catalog.read() as session:
        live = workers.count_live_workers(session, LABEL_QUEUE, limits.worker_silent_seconds)
        if chunks.count_in_flight(session) >= live * limits.chunks_per_worker:
            return None
        candidates = [j.id for j in jobs.unfinished_jobs(session) if j.status == "running"]
    for job_id in candidates:
        with catalog.write() as session:
            job = jobs.lock_job(session, job_id)
            if job.status != "running":
                continue
            chunk = chunks.first_ready(session, job_id) or _cut(session, job, live, limits)
            if chunk is not None and chunks.mark_sent(session, chunk.id):
                jobs.take_turn(session, job_id)
                return chunk.id
    return None


def _cut(
    session: Session, job: JobRow, live_workers: int, limits: DispatchLimits
) -> ChunkRow | None:
    if job.phase not in ("label", "finish") or job.queued == 0 or job.type == "adapt":
        return None
    pending = items.pending_positions(
        session, job.id, limit=limits.chunk_max_images, with_evidence=job.phase == "finish"
    )
    if not pending:
        return None
    n = chunk_images(job.seconds_per_image, job.queued, live_workers, limits)
    kind = "evaluate" if job.type == "evaluate" else job.phase
    chunk = chunks.add_chunk(session, new_id("chk"), job.id, kind, pending[:n])
    items.assign_chunk(session, job.id, pending[:n], chunk.id)
    return chunk
