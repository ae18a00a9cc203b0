"""A catalog of a given size, written straight into its tables."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import insert

from api_schemas.ids import new_id
from storage.catalog.engine import Catalog
from storage.catalog.tables import (
    ImageRow,
    ImageSetRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ModelRow,
    ModelVersionRow,
    PipelineRow,
)

BATCH_ROWS: Final = 500
FAILED_EVERY: Final = 100
CLASSES: Final = [{"id": 0, "name": "road", "kind": "stuff", "color": [128, 64, 128]}]
PROBLEM: Final = {
    "type": "/problems/image-undecodable",
    "title": "The file cannot be used",
    "status": 422,
    "detail": "The image data ends too early. Export the file anew.",
    "code": "image-undecodable",
}


def digest_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def fill(catalog: Catalog, jobs: int, items_per_job: int) -> list[str]:
    """Write jobs that are half done, each item with its own image and label; returns their ids.

    Of the first half of a job's items every hundredth has failed; the second half is queued.
    """
    with catalog.write() as session:
        session.execute(insert(ModelRow), [{"name": "m", "current_version": 1, "created_at": 1.0}])
        session.execute(insert(ModelVersionRow), [_version()])
        session.execute(
            insert(PipelineRow), [{"digest": digest_of("p"), "config": {}, "created_at": 1.0}]
        )
    return [_fill_job(catalog, number, items_per_job) for number in range(jobs)]


def _fill_job(catalog: Catalog, number: int, total: int) -> str:
    job_id, set_id, through = new_id("job"), new_id("set"), total // 2
    with catalog.write() as session:
        session.execute(insert(ImageSetRow), [_image_set(set_id, total)])
        session.execute(insert(JobRow), [_job(job_id, set_id, total, through)])
    rows = (_rows_of_item(job_id, f"{number}/{i}", i, through) for i in range(total))
    for batch in _batches(rows):
        images, labels, items = zip(*batch, strict=True)
        with catalog.write() as session:
            session.execute(insert(ImageRow), list(images))
            written = [label for label in labels if label is not None]
            if written:
                session.execute(insert(LabelRow), written)
            session.execute(insert(JobItemRow), list(items))
    return job_id


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows_of_item(
    job_id: str, name: str, position: int, through: int
) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
    digest = digest_of(name)
    failed = position < through and position % FAILED_EVERY == 0
    label = None if position >= through or failed else _label(digest)
    status = "queued" if position >= through else "failed" if failed else "succeeded"
    item = {
        "job_id": job_id,
        "position": position,
        "external_id": f"folder/{position:07d}.jpg",
        "file_name": f"folder/{position:07d}.jpg",
        "image_digest": digest,
        "status": status,
        "attempts": 1,
        "kills": 0,
        "label_id": label["id"] if label else None,
        "quality": 0.5 if label else None,
        "expected_gain": position % 1009 / 1009 if label else None,
        "stage_seconds": {"predict": 0.1, "select": 0.01} if label else None,
        "error": PROBLEM if failed else None,
        "finish_seq": position if position < through else None,
    }
    return _image(digest), label, item


def _image(digest: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "object_key": f"images/{digest[:2]}/{digest}",
        "media_type": "image/jpeg",
        "size_bytes": 100_000,
        "width_px": 960,
        "height_px": 720,
        "created_at": 1.0,
    }


def _label(image_digest: str) -> dict[str, Any]:
    digest = digest_of(f"label {image_digest}")
    return {
        "id": f"lab_{digest[:26]}",
        "digest": digest,
        "image_digest": image_digest,
        "model_version_id": "ver_1",
        "pipeline_digest": digest_of("p"),
        "width_px": 960,
        "height_px": 720,
        "coverage": 0.7,
        "quality": 0.5,
        "calibrated": False,
        "class_pixels": {"0": 483_840},
        "artifacts": {"label.png": f"labels/{digest[:2]}/{digest}/label.png"},
        "lineage": {"image_digest": image_digest},
        "created_at": 1.0,
    }


def _version() -> dict[str, Any]:
    return {
        "id": "ver_1",
        "model_name": "m",
        "version": 1,
        "status": "ready",
        "kind": "bundle",
        "digest": digest_of("m"),
        "files": {},
        "ontology": {"name": "one", "classes": CLASSES},
        "size_bytes": 1,
        "facts": {},
        "provenance": {},
        "created_at": 1.0,
    }


def _image_set(set_id: str, total: int) -> dict[str, Any]:
    return {
        "id": set_id,
        "name": None,
        "status": "ready",
        "accepted": total,
        "duplicate": 0,
        "rejected": 0,
        "created_at": 1.0,
    }


def _job(job_id: str, set_id: str, total: int, through: int) -> dict[str, Any]:
    failed = len(range(0, through, FAILED_EVERY))
    return {
        "id": job_id,
        "type": "generate",
        "status": "running",
        "phase": "label",
        "image_set_id": set_id,
        "model_version_id": "ver_1",
        "pipeline_digest": digest_of("p"),
        "params": {},
        "priority": 0,
        "failure_policy": {"max_failed_fraction": 0.5, "min_failed_images": 20},
        "job_metadata": {},
        "planned": total,
        "total": total,
        "queued": total - through,
        "succeeded": through - failed,
        "failed": failed,
        "stage_failed": {"predict": failed},
        "event_seq": through,
        "created_at": 1.0,
        "started_at": 2.0,
    }
