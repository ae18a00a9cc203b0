"""Imports: masks that people corrected in a tool become reviews, under a lease.

Items of the job, reviews and the place to go on from change in one transaction, so that whoever
takes over after a death loses no mask and takes none twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.imports import ImportCreate
from api_schemas.problems import NoUsableImage, StateConflict
from domain import events, job_states, jobs, quotas, reviews, uploads
from domain.annotations import images_by_stem
from domain.leases import LeaseLost
from domain.reviews import Basis, Decision
from domain.settings import Settings
from storage.catalog import chunks, image_sets, items, labels, review_queue
from storage.catalog import jobs as job_rows
from storage.catalog.chunks import Lease
from storage.catalog.engine import Catalog
from storage.catalog.tables import ImageRow, JobRow

# a mask that cannot be used is an item with a reason, however many there are
FAILURE_POLICY: Final = {"max_failed_fraction": 1.0, "min_failed_images": 1}


class NothingToCorrect(StateConflict):
    code, title = "nothing-to-correct", "No job has labelled these images"


def create(session: Session, request: ImportCreate, created_by: str) -> JobRow:
    """Insert the job that reads the file, ready for the next free worker.

    Raises:
        ProblemError: set, upload or job are unknown or not ready; no job has labelled the set.
    """
    image_set = jobs.get_ready_set(session, request.image_set)
    upload = uploads.use(session, request.upload)
    if request.job is not None:
        labelled = jobs.get_job(session, request.job, to_refer=True)
    else:
        newest = review_queue.newest_labelling_job(session, image_set.id)
        if newest is None:
            raise NothingToCorrect(
                f"No generate or refine job has labelled image set '{image_set.id}'. Label it "
                "first, or upload the masks as annotations of purpose `initial`."
            )
        labelled = jobs.get_job(session, newest.id, to_refer=True)
    if labelled.type not in jobs.LABELLING_TYPES or labelled.image_set_id != image_set.id:
        raise StateConflict(
            f"Job '{labelled.id}' is no generate or refine job on image set '{image_set.id}'."
        )
    source = {
        "type": "upload",
        "upload": upload.id,
        "object_key": upload.object_key,
        "file_name": upload.file_name,
    }
    job = jobs.new_job_row(
        session,
        job_type="import",
        image_set_id=image_set.id,
        total=0,
        params={
            "source": source,
            "format": request.format,
            "labels_of_job": labelled.id,
            "unknown_classes": request.unknown_classes,
        },
        priority=0,
        failure_policy=dict(FAILURE_POLICY),
        metadata=request.metadata,
        created_by=created_by,
    )
    chunks.add_chunk(session, new_id("chk"), job.id, "import", [])
    job_states.enter(session, job, "import")
    return job


@dataclass(frozen=True)
class ImageNames:
    """The images of a set by the names that a tool may know them by."""

    exact: dict[str, str]  # external id → digest
    stems: dict[str, tuple[str, str]]  # → external id, digest

    @classmethod
    def of(cls, session: Session, image_set_id: str) -> "ImageNames":
        exact = image_sets.images_of_entries(session, image_set_id)
        return cls(exact, images_by_stem(session, image_set_id))

    def find(self, names: Iterable[str]) -> tuple[str, str] | None:
        """Return external id and digest of the image with the first name that fits one."""
        for name in names:
            if name in self.exact:
                return name, self.exact[name]
            if name in self.stems:
                return self.stems[name]
        return None


@dataclass(frozen=True)
class ReadMask:
    """What became of one mask of the file.

    Attributes:
        corrected: row of the corrected label; None where it is the label that the image has.
        problem: why it cannot be used; then there is no more.
    """

    name: str
    external_id: str | None = None
    basis: Basis | None = None
    corrected: dict[str, Any] | None = None
    stored_bytes: int = 0
    problem: dict[str, Any] | None = None


@dataclass
class Waiting:
    """Masks on their way to the catalog; `taken` counts those behind them, in all."""

    masks: list[ReadMask] = field(default_factory=list)
    taken: int = 0


def labelled_job(session: Session, job: JobRow) -> JobRow:
    """Return the job whose labels an import corrects.

    Raises:
        NotFound, Gone: it was deleted.
    """
    return jobs.get_job(session, job.params["labels_of_job"])


def basis_of(session: Session, labelled: JobRow, image_digest: str) -> tuple[Basis, ImageRow]:
    """Return what a correction of an image inherits, and the image."""
    image = image_sets.get_image(session, image_digest)
    assert image is not None  # the set refers to it
    label_id = items.labels_by_image(session, labelled.id, [image_digest]).get(image_digest)
    row = labels.get_label(session, label_id) if label_id is not None else None
    if row is not None and row.deleted_at is None:
        return Basis.of(row), image
    basis = Basis(image_digest, labelled.model_version_id or "", labelled.pipeline_digest or "")
    return basis, image


def commit(
    catalog: Catalog,
    lease: Lease,
    waiting: Waiting,
    *,
    settings: Settings,
    done: bool = False,
) -> bool:
    """Write what waits, all or nothing; False, and nothing written, when the job is over.

    Raises:
        LeaseLost: the chunk is not ours any more; nothing was written.
        QuotaExceeded: who asked may not store so much today; nothing was written.
    """
    with catalog.write() as session:
        job = job_rows.lock_job(session, lease.job_id)
        if not chunks.renew(session, lease, settings.lease_seconds):
            raise LeaseLost(lease.chunk_id)
        if job.status != "running":
            return False
        _add(session, job, waiting.masks)
        chunks.set_result(session, lease, {"taken": waiting.taken})
        if waiting.masks:
            chunks.forgive(session, lease)
        stored = sum(mask.stored_bytes for mask in waiting.masks)
        if stored:
            quotas.reserve_bytes(session, settings, job.created_by, stored)
        if done:
            chunks.close(session, lease)
            _finish(session, job)
    waiting.masks.clear()
    return True


def _add(session: Session, job: JobRow, masks: list[ReadMask]) -> None:
    if not masks:
        return
    job.total += len(masks)
    job.queued += len(masks)
    rows = []
    for mask in masks:
        position = job.planned
        job.planned += 1
        target = "failed" if mask.problem is not None else "succeeded"
        label_id = None
        if mask.problem is None and mask.basis is not None:
            label_id = _decide(session, job, mask, mask.basis)
        job_states.move(job, "queued", target)
        rows.append(_item(job, mask, position, target, label_id))
        if mask.problem is not None:
            events.item_failed(job, position, rows[-1]["external_id"], mask.problem)
    items.add_items(session, rows)
    events.tick(job)


def _decide(session: Session, job: JobRow, mask: ReadMask, basis: Basis) -> str | None:
    decision = Decision(
        "accepted" if mask.corrected is None else "corrected",
        job.created_by,
        source="import",
        job_id=job.id,
    )
    review = reviews.decide(session, basis, decision, mask.corrected)
    return review.corrected_label_id or review.label_id


def _item(
    job: JobRow, mask: ReadMask, position: int, status: str, label_id: str | None
) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "position": position,
        "external_id": (mask.external_id or mask.name)[:1024],
        "file_name": mask.name[:1024],
        "image_digest": mask.basis.image_digest if mask.basis is not None else None,
        "status": status,
        "label_id": label_id,
        "error": mask.problem,
        "attempts": 1,
        "kills": 0,
        "finish_seq": job.event_seq,
    }


def _finish(session: Session, job: JobRow) -> None:
    if job.succeeded:
        result = {
            "image_set": job.image_set_id,
            "labels_of_job": job.params["labels_of_job"],
            "reviewed": job.succeeded,
            "refused": job.failed,
        }
        job_states.complete(session, job, result)
        return
    if job.failed:
        detail = "None of the masks can be used. The job's items say why, one by one."
    else:
        detail = "The file holds no mask. Check that it is an export in the format that was named."
    job_states.fail_job(job, NoUsableImage(detail))
    job_states.settle(session, job)
