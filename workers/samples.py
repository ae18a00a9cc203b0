"""The sample of a job-wide fit: one object for each chunk of pass 1, read one by one at the join.

A part is put when its chunk is closed. What a worker had done before it died is in no part: the
join samples those images from their evidence, so that the sample is the same in the end.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from storage.catalog import chunks, items
from storage.catalog.tables import JobItemRow
from storage.objects import ObjectMissing, Objects, evidence_key, sample_key
from workers.job_wide import JobWideStage
from workers.npz import Arrays, pack, unpack
from workers.runtime import Runtime, log

PAGE_ROWS = 500


def put_part(objects: Objects, job_id: str, sample: Arrays, positions: list[int]) -> dict[str, Any]:
    """Store what a chunk adds to the sample; returns the result of the chunk.

    Args:
        positions: items of the job that the part stands for.

    Raises:
        StorageUnavailable: the store failed.
    """
    data = pack(sample)
    digest = hashlib.sha256(data).hexdigest()
    objects.put_new(sample_key(job_id, digest), data)
    return {"sample": digest, "positions": sorted(positions)}


def read_parts(runtime: Runtime, stage: JobWideStage, job_id: str, seed: int) -> Iterator[Arrays]:
    """Yield the parts of a job's sample, one at a time; every image with evidence is in one.

    Raises:
        StorageUnavailable: the store failed.
    """
    covered: set[int] = set()
    with runtime.catalog.read() as session:
        found = chunks.results(session, job_id, "label")
    for result in found:
        try:
            part = unpack(runtime.objects.get(sample_key(job_id, result["sample"])))
        except (ObjectMissing, ValueError) as error:
            log.warning("a part of the sample is lost; reading its evidence", error=str(error))
            continue
        covered.update(result["positions"])
        yield part
    for row in _with_evidence(runtime, job_id):
        if row.position in covered:
            continue
        try:
            data = runtime.objects.get(evidence_key(row.evidence_digest or ""))
            yield stage.sample(row.image_digest or "", unpack(data), seed)
        except (ObjectMissing, ValueError) as error:  # pass 2 will say so of the image
            log.warning("evidence is lost", image=row.image_digest, error=str(error))


def _with_evidence(runtime: Runtime, job_id: str) -> Iterator[JobItemRow]:
    after = -1
    has_evidence = JobItemRow.evidence_digest.is_not(None)
    while True:
        with runtime.catalog.read() as session:
            rows = items.list_items(
                session, job_id, after_position=after, limit=PAGE_ROWS, where=[has_evidence]
            )
        if not rows:
            return
        yield from rows
        after = rows[-1].position
