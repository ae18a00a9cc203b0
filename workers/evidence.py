"""Pass 1 for a job-wide correction: the evidence of each image, and the chunk's sample part."""

import io
import time

import numpy as np

from domain.leases import ClaimedChunk
from storage.objects import evidence_key
from workers.committing import Committer
from workers.context import LabelContext
from workers.job_wide import Evidence, SampleEntry, merge_samples
from workers.label_runtime import LabelRuntime
from workers.labelling import label_images


def pack(evidence: Evidence) -> bytes:
    """Return evidence as npz bytes; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: evidence[name] for name in sorted(evidence)})  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack(data: bytes) -> Evidence:
    """Return the arrays of npz bytes; nothing is unpickled.

    Raises:
        ValueError: the bytes are no npz, or hold objects.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def collect(
    runtime: LabelRuntime, claimed: ClaimedChunk, committer: Committer, context: LabelContext
) -> None:
    """Leave the evidence of each image of a chunk; raises as `workers.label.label_chunk`."""
    stage = context.job_wide
    assert stage is not None
    started = time.monotonic()
    sample: list[SampleEntry] = [(k, v) for k, v in (claimed.result or {}).get("sample", [])]
    todo = []
    for digest in committer.digests:
        evidence_digest = context.recipe.evidence_digest(digest)
        if runtime.objects.exists(evidence_key(evidence_digest)):
            found = unpack(runtime.objects.get(evidence_key(evidence_digest)))
            part = stage.sample(digest, found, context.seed)
            sample = merge_samples([sample, part], stage.sample_size)
            committer.chunk_result = {"sample": sample}
            committer.add(digest, evidence_digest=evidence_digest)
        else:
            todo.append(digest)
    for done in label_images(runtime, context, todo, need_images=True):
        if done.maps is None or done.image is None:
            committer.add(done.digest, error=done.problem, failed_stage="predict")
            continue
        found = stage.evidence(done.image, done.maps)
        evidence_digest = context.recipe.evidence_digest(done.digest)
        runtime.objects.put_new(evidence_key(evidence_digest), pack(found))
        part = stage.sample(done.digest, found, context.seed)
        sample = merge_samples([sample, part], stage.sample_size)
        committer.chunk_result = {"sample": sample}
        committer.add(done.digest, evidence_digest=evidence_digest)
    seconds = (time.monotonic() - started) / max(1, len(todo))
    committer.close(seconds_per_image=seconds if todo else None)
