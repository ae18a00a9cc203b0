"""Image sets, models and jobs straight in the catalog, without a file or an HTTP request."""

import hashlib
from collections import Counter
from typing import Any

from sqlalchemy import func, select

from api_schemas.ids import new_id
from api_schemas.jobs import FailurePolicy, GenerateJobCreate
from api_schemas.pipelines import PipelineConfig
from domain import image_sets, jobs, planning
from domain.image_sets import ReceivedFile
from domain.leases import ClaimedChunk, Commit, Outcome, claim, commit
from domain.models import NewVersion, register_version
from storage.catalog.chunks import add_chunk
from storage.catalog.engine import Catalog
from storage.catalog.items import assign_chunk
from storage.catalog.jobs import COUNTS
from storage.catalog.tables import ChunkRow, JobItemRow, JobRow, LabelRow, ModelVersionRow

LEASE_SECONDS = 60.0
ARGMAX = PipelineConfig(select=None)
CLASSES = [
    {"id": 0, "name": "road", "kind": "stuff", "color": [128, 64, 128]},
    {"id": 1, "name": "sky", "kind": "stuff", "color": [70, 130, 180]},
    {"id": 2, "name": "car", "kind": "thing", "color": [0, 0, 142]},
]


def digest_of(name: object) -> str:
    return hashlib.sha256(f"image {name}".encode()).hexdigest()


def add_set(catalog: Catalog, images: int = 4, rejected: int = 0) -> str:
    """An image set of `images` distinct images 0.png, 1.png, … and then rejected files."""
    with catalog.write() as session:
        intake = image_sets.open_set(session, None)
    for i in range(images):
        digest = digest_of(i)
        image = {
            "digest": digest,
            "object_key": f"images/{digest[:2]}/{digest}",
            "media_type": "image/png",
            "size_bytes": 100,
            "width_px": 32,
            "height_px": 24,
        }
        intake.waiting.append(ReceivedFile(f"{i}.png", image))
    for i in range(rejected):
        problem = {"type": "/problems/empty-file", "title": "t", "status": 422, "detail": "empty",
                   "code": "empty-file"}  # fmt: skip
        intake.waiting.append(ReceivedFile(f"bad{i}.png", None, problem=problem))
    image_sets.flush(catalog, intake)
    with catalog.write() as session:
        return image_sets.close(session, intake.image_set_id).id


def add_version(catalog: Catalog, name: str = "tiny") -> ModelVersionRow:
    new = NewVersion(
        name=name,
        kind="bundle",
        digest=hashlib.sha256(name.encode()).hexdigest(),
        files={},
        ontology={"name": "tiny", "classes": CLASSES},
        size_bytes=0,
        facts={},
        provenance={},
    )
    with catalog.write() as session:
        return register_version(session, new, promote=True)


def add_job(
    catalog: Catalog,
    images: int = 4,
    *,
    rejected: int = 0,
    image_set: str | None = None,
    pipeline: PipelineConfig = ARGMAX,
    priority: int = 0,
    min_failed_images: int = 20,
    planned: bool = True,
) -> str:
    """A generate job; planned, so that it waits for workers."""
    add_version(catalog)
    request = GenerateJobCreate(
        type="generate",
        image_set=image_set or add_set(catalog, images, rejected),
        model="tiny",
        pipeline=pipeline,
        priority=priority,
        failure_policy=FailurePolicy(min_failed_images=min_failed_images),
    )
    with catalog.write() as session:
        job_id = jobs.create_generate(session, request, 10**6).id
    if planned:
        planning.plan(catalog, job_id)
    return job_id


def cut_chunk(catalog: Catalog, job_id: str, positions: list[int], kind: str = "label") -> str:
    """A chunk of these items, ready to be claimed."""
    chunk_id = new_id("chk")
    with catalog.write() as session:
        add_chunk(session, chunk_id, job_id, kind, positions)
        assign_chunk(session, job_id, positions, chunk_id)
    return chunk_id


def claim_items(
    catalog: Catalog, job_id: str, positions: list[int], owner: str = "wrk_a"
) -> ClaimedChunk:
    """Cut a chunk of these items and claim it."""
    claimed = claim(catalog, cut_chunk(catalog, job_id, positions), owner, LEASE_SECONDS)
    assert claimed is not None
    return claimed


def label_values(catalog: Catalog, job_id: str, image_digest: str) -> dict[str, Any]:
    """Columns of a label row of an image; the same digest each time, a fresh id."""
    with catalog.read() as session:
        job = jobs.get_job(session, job_id)
    return {
        "id": new_id("lab"),
        "digest": hashlib.sha256(f"label {image_digest}".encode()).hexdigest(),
        "image_digest": image_digest,
        "model_version_id": job.model_version_id,
        "pipeline_digest": job.pipeline_digest,
        "width_px": 32,
        "height_px": 24,
        "coverage": 1.0,
        "quality": 0.5,
        "calibrated": False,
        "class_pixels": {"0": 768},
        "artifacts": {"label.png": f"labels/aa/{image_digest}/label.png"},
        "lineage": {},
    }


def success(catalog: Catalog, job_id: str, position: int) -> Outcome:
    label = label_values(catalog, job_id, digest_of(position))
    return Outcome(position=position, label=label, quality=0.5)


def failure(position: int) -> Outcome:
    error = {"type": "/problems/stage-failed", "title": "t", "status": 500, "detail": "no",
             "code": "stage-failed"}  # fmt: skip
    return Outcome(position=position, error=error, failed_stage="predict")


def get_job(catalog: Catalog, job_id: str) -> Any:
    with catalog.read() as session:
        return jobs.get_job(session, job_id)


def get_items(catalog: Catalog, job_id: str) -> list[Any]:
    query = select(JobItemRow).where(JobItemRow.job_id == job_id).order_by(JobItemRow.position)
    with catalog.read() as session:
        return list(session.scalars(query))


def get_chunks(catalog: Catalog, job_id: str) -> list[ChunkRow]:
    query = select(ChunkRow).where(ChunkRow.job_id == job_id).order_by(ChunkRow.id)
    with catalog.read() as session:
        return list(session.scalars(query))


def count_labels(catalog: Catalog) -> int:
    with catalog.read() as session:
        return session.scalar(select(func.count()).select_from(LabelRow)) or 0


def counts_of(job: JobRow) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: getattr(job, name) for name in COUNTS if getattr(job, name)}


def assert_consistent(catalog: Catalog, job_id: str) -> Any:
    """Counts sum to the total and are those of the items; a finished job has no open item."""
    job = get_job(catalog, job_id)
    found = Counter(item.status for item in get_items(catalog, job_id))
    unwritten = job.total - sum(found.values())
    found["queued" if job.phase == "plan" else "cancelled"] += unwritten
    counts = counts_of(job)
    assert sum(counts.values()) == job.total
    assert counts == {name: n for name, n in found.items() if n}
    if job.status in ("succeeded", "partial", "failed", "cancelled"):
        assert job.queued == job.running == 0
        assert job.finished_at is not None
    return job


def finish_items(
    catalog: Catalog, job_id: str, positions: list[int], bad: tuple[int, ...] = ()
) -> None:
    """Claim items of a job and end them: those of `bad` have failed."""
    claimed = claim_items(catalog, job_id, positions)
    outcomes = [failure(p) if p in bad else success(catalog, job_id, p) for p in positions]
    commit(catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
