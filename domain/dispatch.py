"""Which chunk goes to the workers next: priority, then a round robin over jobs.

A queue holds at most two chunks per live worker, so that a new job of high priority waits for
two chunks and not for a queue. Each queue is filled by itself. Chunks are cut when they are sent,
in the size that the measured speed of the job asks for.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from storage.catalog import chunks, items, jobs, turns, workers
from storage.catalog.engine import Catalog
from storage.catalog.tables import ChunkRow, JobRow
from storage.queue import KINDS, LABEL_QUEUE, TRAINING_QUEUE, Queue

FIRST_CHUNK_IMAGES: Final = 4
# (type, phase) of the jobs whose chunks are cut when they are sent; all others write their own
CUT_PHASES: Final = (
    ("generate", "label"),
    ("generate", "finish"),
    ("refine", "label"),
    ("refine", "finish"),
    ("evaluate", "label"),
)


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
    return sum(_dispatch_to(catalog, queue, name, limits) for name in KINDS)


def _dispatch_to(catalog: Catalog, queue: Queue, name: str, limits: DispatchLimits) -> int:
    """Fill one queue; a job that waits for another one is not in the way."""
    kinds = KINDS[name]
    cut = CUT_PHASES if name == LABEL_QUEUE else ()
    sent = 0
    while True:
        with catalog.read() as session:
            live = workers.count_live_workers(session, name, limits.worker_silent_seconds)
            room = live * _share_of(name, limits) - chunks.count_in_flight(session, kinds)
            found = turns.jobs_in_turn(session, kinds, cut, room) if room > 0 else []
        sent_before = sent
        for job_id in found:
            chunk_id = _mark_chunk(catalog, job_id, kinds, live, limits)
            if chunk_id is None:
                continue
            if not queue.send_chunk(chunk_id, name):
                with catalog.write() as session:
                    chunks.unsend_one(session, chunk_id)
                return sent
            sent += 1
        if sent == sent_before:
            return sent


def _share_of(queue: str, limits: DispatchLimits) -> int:
    """Return how many chunks a worker has in its queue; none waits for hours behind a training."""
    return 1 if queue == TRAINING_QUEUE else limits.chunks_per_worker


def _mark_chunk(
    catalog: Catalog, job_id: str, kinds: Collection[str], live: int, limits: DispatchLimits
) -> str | None:
    """Mark the next chunk of a job as sent and return its id; None when it has none any more."""
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.status != "running":
            return None
        chunk = chunks.first_ready(session, job_id, kinds)
        if chunk is None and (job.type, job.phase) in CUT_PHASES:
            chunk = _cut(session, job, live, limits)
        if chunk is None or not chunks.mark_sent(session, chunk.id):
            return None
        jobs.take_turn(session, job_id)
        return chunk.id


def _cut(
    session: Session, job: JobRow, live_workers: int, limits: DispatchLimits
) -> ChunkRow | None:
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
