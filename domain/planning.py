"""From a job to its items and chunks: what the scheduler does for each job, step by step.

Every step is one transaction of at most 500 rows and can be repeated after a crash.
"""

import hashlib
import heapq
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.pipelines import PipelineConfig
from domain import annotated_jobs, evaluation, job_states, refinement
from domain.jobs import LABELLING_TYPES
from domain.leases import WHOLE_JOB_KINDS
from domain.refinement import LabelIdentity
from storage.catalog import chunks, image_sets, items, jobs, labels, review_queue
from storage.catalog.engine import Catalog
from storage.catalog.tables import JobItemRow, JobRow

BATCH_ROWS: Final = 500
PILOT_CHUNK_IMAGES: Final = 8


def sample_rank(seed: int, image_digest: str) -> str:
    """Return the key by which samples are drawn: the smallest win, whatever the order."""
    return hashlib.sha256(f"{seed}:{image_digest}".encode()).hexdigest()


def set_of(job: JobRow) -> str:
    """Return the image set of a job whose kind always has one."""
    if job.image_set_id is None:
        raise ValueError(f"job {job.id} of type {job.type} has no image set")
    return job.image_set_id


def pipeline_of(session: Session, job: JobRow) -> PipelineConfig:
    """Return the pipeline of a job; argmax alone if it has none."""
    if job.pipeline_digest is None:
        return PipelineConfig(select=None)
    return PipelineConfig.model_validate(jobs.get_pipeline(session, job.pipeline_digest))


def plan(
    catalog: Catalog,
    job_id: str,
    identity: LabelIdentity | None = None,
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Write the items of a new job, batch by batch, then enter its first working phase.

    Args:
        identity: tells which labels a refine job can take over; without it none are.
        go_on: asked between two batches; what is left is written by the next call.
    """
    first = True
    while first or go_on():
        first = False
        with catalog.write() as session:
            job = jobs.lock_job(session, job_id)
            if job.phase != "plan" or job.status not in ("queued", "validating"):
                return
            if job.status == "queued" and not _begin(session, job, identity):
                return
            rows = _next_items(session, job)
            if job.type == "refine" and identity and job.params.get("retry_only") != "all":
                refinement.take_over(session, job, rows, identity)
            items.add_items(session, rows)
            taken = [row["position"] for row in rows if row["label_id"] is not None]
            review_queue.enqueue(session, job.id, taken)
            _count(job, rows)
            if job.planned >= job.total:
                _start(session, job)
                return


def _begin(session: Session, job: JobRow, identity: LabelIdentity | None) -> bool:
    """Settle what a job needs before its first item; False if it cannot go on."""
    job_states.set_status(job, "validating")
    if job.type == "refine":
        refinement.begin(session, job, identity)
    return job.status != "cancelling"


def _next_items(session: Session, job: JobRow) -> list[dict[str, Any]]:
    if job.retry_of:
        rows = _items_of_retried(session, job)
        if rows:
            return rows
        # else the old job was cancelled before it was planned (up to here): go on without it
    if job.type == "evaluate":
        return _items_of_annotations(session, job)
    if job.type == "adapt":
        return _items_of_sample(session, job)
    if "initial_labels" in job.params:
        found = annotated_jobs.labelled_images(
            session,
            job.params["initial_labels"],
            after_position=job.planned - 1,
            limit=BATCH_ROWS,
        )
        return _items_of(job, found)
    if "source_labels" in job.params:
        return _items_of_source(session, job)
    if job.type == "fit_rectifier":
        return _items_of_sample(session, job)
    if job.type == "train":
        name = job.params["label_set"]
        return [_item(job, 0, name, name, None)]
    if job.type == "validate":
        name = job.params["name"]
        return [_item(job, 0, name, name, None)]
    return _items_of_set(session, job)


def _item(
    job: JobRow, position: int, external_id: str, file_name: str, digest: str | None
) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "position": position,
        "external_id": external_id,
        "file_name": file_name,
        "image_digest": digest,
        "status": "queued",
        "label_id": None,
        "quality": None,
        "error": None,
        "attempts": 0,
        "kills": 0,
    }


def _items_of_set(session: Session, job: JobRow) -> list[dict[str, Any]]:
    entries = image_sets.list_entries(
        session, set_of(job), after_position=job.planned - 1, limit=BATCH_ROWS
    )
    rows = []
    for entry in entries:
        row = _item(job, entry.position, entry.external_id, entry.file_name, entry.image_digest)
        if entry.status == "rejected":
            row |= {"status": "skipped", "error": entry.problem}
        rows.append(row)
    return rows


def _items_of_retried(session: Session, job: JobRow) -> list[dict[str, Any]]:
    assert job.retry_of is not None
    rows = []
    olds = items.list_items(session, job.retry_of, after_position=job.planned - 1, limit=BATCH_ROWS)
    live = labels.get_labels(session, [old.label_id for old in olds if old.label_id])
    for old in olds:
        row = _item(job, old.position, old.external_id, old.file_name, old.image_digest)
        if old.status == "skipped":
            row |= {"status": "skipped", "error": old.error}
        elif _is_taken_over(job, old) and old.label_id in live:
            row |= {"status": "succeeded", "label_id": old.label_id, "quality": old.quality}
        rows.append(row)
    return rows


def _is_taken_over(job: JobRow, old: JobItemRow) -> bool:
    wanted = job.type in LABELLING_TYPES and job.params.get("retry_only") == "failed"
    return wanted and old.status == "succeeded"


def _items_of_annotations(session: Session, job: JobRow) -> list[dict[str, Any]]:
    found = evaluation.annotated_images(session, job.params["annotation_set"])
    return _items_of(job, found[job.planned : job.planned + BATCH_ROWS])


def _items_of_source(session: Session, job: JobRow) -> list[dict[str, Any]]:
    seed = job.params["seed"]
    found = annotated_jobs.sample_of_labelled(
        session, job.params["source_labels"], job.total, lambda digest: sample_rank(seed, digest)
    )
    return _items_of(job, found[job.planned : job.planned + BATCH_ROWS])


def _items_of(job: JobRow, images: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The next items, by external id and digest."""
    return [
        _item(job, job.planned + i, external_id, external_id, digest)
        for i, (external_id, digest) in enumerate(images)
    ]


def _items_of_sample(session: Session, job: JobRow) -> list[dict[str, Any]]:
    seed = job.params["seed"]
    ranked = heapq.nsmallest(
        job.total,
        (
            (sample_rank(seed, digest), digest)
            for _, digest in image_sets.iterate_digests(session, set_of(job))
        ),
    )
    part = ranked[job.planned : job.planned + BATCH_ROWS]
    return [
        _item(job, job.planned + i, digest, digest, digest) for i, (_, digest) in enumerate(part)
    ]


def _count(job: JobRow, rows: list[dict[str, Any]]) -> None:
    for status in ("skipped", "succeeded"):
        n = sum(row["status"] == status for row in rows)
        if n:
            job_states.move(job, "queued", status, n)
    if rows:
        job.planned += len(rows)
        return
    # fewer rows than announced (they were deleted meanwhile): the rest is cancelled
    missing = job.total - job.planned
    job.planned = job.total
    job_states.move(job, "queued", "cancelled", missing)


def _start(session: Session, job: JobRow) -> None:
    config = pipeline_of(session, job)
    if job.type == "refine":
        job.result = refinement.result_of(job)
    needs_pilot = job.type in LABELLING_TYPES and config.needs_pilot and job.queued > 0
    if needs_pilot and job.pilot_fit_digest is None:
        if job.params.get("pilot_of"):  # its histograms are there already: only the fit is new
            job_states.enter(session, job, "pilot")
        else:
            start_pilot(session, job, config)
        return
    job_states.enter(session, job, "train" if job.type == "train" else "label")
    if job.type in WHOLE_JOB_KINDS:
        _add_chunk(session, job, job.type, list(range(job.total)))
    job_states.settle(session, job)


def start_pilot(session: Session, job: JobRow, config: PipelineConfig) -> None:
    """Cut the chunks of a pilot and enter it."""
    sample = heapq.nsmallest(
        config.pilot_images,
        (
            (sample_rank(config.seed, digest), position)
            for digest, position in items.first_positions(session, job.id)
        ),
    )
    positions = [position for _, position in sample]
    for start in range(0, len(positions), PILOT_CHUNK_IMAGES):
        part = positions[start : start + PILOT_CHUNK_IMAGES]
        chunks.add_chunk(session, new_id("chk"), job.id, "pilot", part)
    job_states.enter(session, job, "pilot")


def _add_chunk(session: Session, job: JobRow, kind: str, positions: list[int]) -> None:
    chunk_id = new_id("chk")
    chunks.add_chunk(session, chunk_id, job.id, kind, positions)
    items.assign_chunk(session, job.id, positions, chunk_id)


def has_open_chunks(catalog: Catalog, job_id: str, kind: str) -> bool:
    """Whether chunks of this kind are still to be done."""
    with catalog.read() as session:
        return chunks.count_open(session, job_id, kind) > 0


def advance_job_wide(catalog: Catalog, job_id: str) -> None:
    """Take a job with a job-wide correction from pass 1 to the join, and from there to pass 2."""
    with catalog.read() as session:
        job = jobs.get_job(session, job_id)
        if job is None or job.evidence_ready == 0 or job.phase not in ("label", "fit"):
            return
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.status != "running":
            return
        if job.phase == "label" and job.running == 0 and job.queued == job.evidence_ready:
            _start_fit(session, job)
        elif job.phase == "fit" and job.job_fit_digest is not None:
            job_states.enter(session, job, "finish")


def _start_fit(session: Session, job: JobRow) -> None:
    if job.job_fit_digest is not None:  # a retry uses the fit of the job that it retries
        job_states.enter(session, job, "finish")
        return
    chunks.add_chunk(session, new_id("chk"), job.id, "fit", [])
    job_states.enter(session, job, "fit")
