"""Work under a lease: claim a chunk, commit what was done, release it, take it back.

A worker holds a chunk by (owner, epoch). Each commit repeats both, so that a worker that was
thought dead cannot write over its successor: it gets `LeaseLost` and drops what it has.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.problems import ModelKillsWorker, WorkerLost
from domain import events, job_states, webhook_outbox
from storage.catalog import chunks, items, jobs, labels, review_queue, usage
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.catalog.tables import ChunkRow, JobItemRow, JobRow

SPEED_SMOOTHING = 0.5
# worked on without the device that quotas count
NO_DEVICE_KINDS = ("ingest", "import", "export", "push")
# kinds of which a job has one chunk, whatever its size
WHOLE_JOB_KINDS = ("adapt", "fit_connectivity", "fit_rectifier", "train", "validate")
# kinds whose items end with the chunk
ITEM_KINDS = ("label", "finish", "evaluate", *WHOLE_JOB_KINDS)


class LeaseLost(Exception):
    """Somebody else was given this chunk, or its job is over."""


@dataclass(frozen=True)
class ClaimedChunk:
    """A chunk with what a worker needs to start on it."""

    lease: Lease
    kind: str
    job: JobRow
    items: list[JobItemRow]
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Outcome:
    """What became of one item: an error, evidence for pass 2, or success, with or without label.

    `label` are the columns of a new label row; `label_id` names one that stands already.
    """

    position: int
    label: dict[str, Any] | None = None
    label_id: str | None = None
    evidence_digest: str | None = None
    error: dict[str, Any] | None = None
    failed_stage: str | None = None
    quality: float | None = None
    stage_seconds: dict[str, float] | None = None


@dataclass
class Commit:
    """What one transaction of a worker writes.

    `chunk_result` replaces the result of the chunk as it stands after these outcomes; `also` is
    called once the lease has proved to be ours, for other rows that change with them.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    close: bool = False
    chunk_result: dict[str, Any] | None = None
    job_changes: dict[str, Any] = field(default_factory=dict)
    seconds_per_image: float | None = None
    also: Callable[[Session], None] | None = None


def claim(catalog: Catalog, chunk_id: str, owner: str, lease_seconds: float) -> ClaimedChunk | None:
    """Take a chunk; None when it is held, done, or its job is over or being cancelled."""
    with catalog.write() as session:
        row = chunks.get_chunk(session, chunk_id)
        if row is None:
            return None
        job = jobs.lock_job(session, row.job_id)
        if job.status not in ("validating", "running", "finalizing"):
            return None
        epoch = chunks.claim(session, chunk_id, owner, lease_seconds)
        if epoch is None:
            return None
        if row.kind in ITEM_KINDS:
            job_states.move(job, "queued", "running", items.start_items(session, job.id, chunk_id))
        found = items.items_at(session, job.id, row.positions)
        return ClaimedChunk(
            lease=Lease(chunk_id, job.id, owner, epoch),
            kind=row.kind,
            job=job,
            items=[found[p] for p in row.positions if _is_open(found.get(p), row, "running")],
            result=row.result,
        )


def _is_open(item: JobItemRow | None, chunk: ChunkRow, status: str) -> bool:
    """Whether a chunk still has to work on an item; `status` is that of items under work.

    An item whose evidence is there waits in the queue again, but not for this chunk.
    """
    if item is None:
        return False
    if chunk.kind in ITEM_KINDS:
        return item.status == status and item.chunk_id == chunk.id
    return item.status == "queued"


def send_again(catalog: Catalog, chunk_id: str) -> None:
    """Let the dispatcher send a chunk again whose message was not taken."""
    with catalog.write() as session:
        chunks.unsend_one(session, chunk_id)


def renew(catalog: Catalog, lease: Lease, lease_seconds: float) -> str:
    """Extend a lease and return the status of its job.

    Raises:
        LeaseLost: the chunk is not ours any more.
    """
    with catalog.write() as session:
        if not chunks.renew(session, lease, lease_seconds):
            raise LeaseLost(lease.chunk_id)
        job = jobs.get_job(session, lease.job_id)
        return job.status if job else "cancelled"


def commit(catalog: Catalog, lease: Lease, work: Commit, lease_seconds: float) -> str:
    """Write outcomes, all or nothing, and return the status of the job afterwards.

    Raises:
        LeaseLost: the chunk is not ours any more; nothing was written.
    """
    with catalog.write() as session:
        job = jobs.lock_job(session, lease.job_id)
        if not chunks.renew(session, lease, lease_seconds):
            raise LeaseLost(lease.chunk_id)
        if work.also is not None:
            work.also(session)
        fraction_before = events.fraction_of(job)
        label_ids = _add_labels(session, work.outcomes)
        failed = [o.position for o in work.outcomes if o.error is not None]
        names = items.external_ids(session, job.id, failed) if failed else {}
        for outcome in work.outcomes:
            _apply(session, job, outcome, label_ids, names)
        labelled = [o.position for o in work.outcomes if o.label is not None or o.label_id]
        review_queue.enqueue(session, job.id, labelled)
        for name, value in work.job_changes.items():
            _change(job, name, value)
        if work.seconds_per_image is not None:
            job.seconds_per_image = _smooth(job.seconds_per_image, work.seconds_per_image)
        job_states.apply_failure_policy(job)
        if work.chunk_result is not None:
            chunks.set_result(session, lease, work.chunk_result)
        if work.close:
            _account(session, job, lease)
            chunks.close(session, lease)
            if items.requeue_items(session, job.id, lease.chunk_id):
                raise ValueError(f"chunk {lease.chunk_id} closed with items undone")
        if work.outcomes or work.job_changes or work.close:
            events.tick(job)
        webhook_outbox.job_went_on(job, fraction_before)
        job_states.settle(session, job)
        return job.status


def _change(job: JobRow, name: str, value: Any) -> None:
    if name == "status":
        job_states.set_status(job, value)
    else:
        setattr(job, name, value)


def _account(session: Session, job: JobRow, lease: Lease) -> None:
    """Add the time that a worker had a chunk to that of its job, before the chunk is let go."""
    row = chunks.get_chunk(session, lease.chunk_id)
    if row is not None and row.kind not in NO_DEVICE_KINDS:
        seconds = chunks.held_seconds(session, lease)
        job.device_seconds += seconds
        usage.add(session, job.created_by, device_seconds=seconds)


def _add_labels(session: Session, outcomes: list[Outcome]) -> dict[str, str]:
    """Return label digest → id of the row that stands; two jobs may share labels.

    Rows are inserted in the order of their digests, so that PostgreSQL finds no deadlock.
    """
    new = {o.label["digest"]: o.label for o in outcomes if o.label is not None}
    return labels.add_labels(session, [new[digest] for digest in sorted(new)])


def _apply(
    session: Session,
    job: JobRow,
    outcome: Outcome,
    label_ids: dict[str, str],
    names: dict[int, str],
) -> None:
    values: dict[str, Any] = {"stage_seconds": outcome.stage_seconds, "quality": outcome.quality}
    if outcome.error is not None:
        target = "failed"
        values |= {"error": outcome.error, "chunk_id": None}
        job_states.count_stage_failure(job, outcome.failed_stage or "predict")
    elif outcome.evidence_digest is not None:
        target = "queued"
        values |= {"evidence_digest": outcome.evidence_digest, "chunk_id": None}
    else:
        target = "succeeded"
        values["label_id"] = outcome.label_id
        if outcome.label is not None:
            values["label_id"] = label_ids[outcome.label["digest"]]
    if target != "queued":
        values["finish_seq"] = job.event_seq + 1
    ended = items.end_item(
        session,
        job.id,
        outcome.position,
        from_status="running",
        values={**values, "status": target},
    )
    if not ended:
        return
    job_states.move(job, "running", target)
    if outcome.error is not None:
        events.item_failed(job, outcome.position, names[outcome.position], outcome.error)
    elif outcome.evidence_digest is not None:
        job.evidence_ready += 1


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else SPEED_SMOOTHING * new + (1 - SPEED_SMOOTHING) * old


def release(catalog: Catalog, lease: Lease) -> None:
    """Give a chunk back undone, without blame: the worker was asked to stop."""
    with catalog.write() as session:
        job = jobs.lock_job(session, lease.job_id)
        _account(session, job, lease)
        if not chunks.give_back(session, lease):
            return
        left = items.requeue_items(session, job.id, lease.chunk_id)
        if left:
            job_states.move(job, "running", "queued", left)


def take_back(catalog: Catalog, lease: Lease, max_kills: int) -> bool:
    """Take a chunk from a dead worker, and close in on an image that kills workers.

    A chunk of n images is split in about √n parts, then into single images; an image alone in
    its chunk that has killed `max_kills` workers fails and is set aside. So three deaths find
    the culprit among 64. Returns False if somebody else was faster.
    """
    with catalog.write() as session:
        job = jobs.lock_job(session, lease.job_id)
        row = chunks.get_chunk(session, lease.chunk_id)
        _account(session, job, lease)
        if row is None or not chunks.give_back(session, lease):
            return False
        left = items.requeue_items(session, job.id, lease.chunk_id)
        if left:
            job_states.move(job, "running", "queued", left)
        if job_states.is_done(job) or job.status == "cancelling":
            return True
        max_kills = job.failure_policy.get("max_attempts") or max_kills
        row.kills += 1
        found = items.items_at(session, job.id, row.positions)
        open_positions = [p for p in row.positions if _is_open(found.get(p), row, "queued")]
        for position in open_positions:
            found[position].kills += 1
        if not open_positions or row.kind in WHOLE_JOB_KINDS:
            _whole_chunk_died(job, row.kills, max_kills)
        elif len(open_positions) > 1:
            _split(session, row, open_positions)
        elif found[open_positions[0]].kills >= max_kills:
            _quarantine(session, job, row, found[open_positions[0]])
        job_states.settle(session, job)
        return True


def _whole_chunk_died(job: JobRow, kills: int, max_kills: int) -> None:
    if kills >= max_kills and job.type == "validate":
        job_states.fail_job(
            job,
            ModelKillsWorker(
                f"The worker died {kills} times while it tried the model. Too little memory for "
                "its size is the usual reason; try it with `selvage models add` on the machine."
            ),
        )
    elif kills >= max_kills:
        job_states.fail_job(
            job,
            WorkerLost(
                f"The worker died {kills} times in a step that concerns the whole job. "
                "Look into the log of the worker; too little memory is the usual reason."
            ),
        )


def _split(session: Session, row: Any, positions: list[int]) -> None:
    size = math.ceil(len(positions) / math.ceil(math.sqrt(len(positions))))
    if row.kills > 1:
        size = 1
    for start in range(0, len(positions), size):
        part = positions[start : start + size]
        chunk_id = new_id("chk")
        chunks.add_chunk(session, chunk_id, row.job_id, row.kind, part, kills=row.kills)
        if row.kind in ITEM_KINDS:
            items.assign_chunk(session, row.job_id, part, chunk_id)
    row.status = "done"


def _quarantine(session: Session, job: JobRow, row: Any, item: JobItemRow) -> None:
    error = WorkerLost(
        "A worker died each time that it worked on this image, so the image was set aside. "
        "Check the file, or give the worker more memory, and retry the job."
    ).to_json()
    values = {"status": "failed", "error": error, "chunk_id": None}
    ended = items.end_item(
        session,
        job.id,
        item.position,
        from_status="queued",
        values={**values, "finish_seq": job.event_seq + 1},
    )
    if ended:
        job_states.move(job, "queued", "failed")
        events.item_failed(job, item.position, item.external_id, error)
        job_states.count_stage_failure(job, "predict")
        events.tick(job)
        job_states.apply_failure_policy(job)
    row.status = "done"
