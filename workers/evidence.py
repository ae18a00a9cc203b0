"""Pass 1 for a job-wide correction: the evidence of each image, and the chunk's sample part."""

import time

from domain.leases import ClaimedChunk
from storage.objects import evidence_key
from workers.committing import Committer
from workers.context import LabelContext
from workers.label_runtime import LabelRuntime
from workers.labelling import label_images
from workers.npz import Arrays, pack, unpack
from workers.samples import put_part


def collect(
    runtime: LabelRuntime, claimed: ClaimedChunk, committer: Committer, context: LabelContext
) -> None:
    """Leave the evidence of each image of a chunk; raises as `workers.label.label_chunk`."""
    stage = context.job_wide
    assert stage is not None
    started = time.monotonic()
    samples: dict[str, Arrays] = {}
    todo = []
    for digest in committer.digests:
        evidence_digest = context.recipe.evidence_digest(digest)
        if runtime.objects.exists(evidence_key(evidence_digest)):
            found = unpack(runtime.objects.get(evidence_key(evidence_digest)))
            samples[digest] = stage.sample(digest, found, context.seed)
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
        samples[done.digest] = stage.sample(done.digest, found, context.seed)
        committer.add(done.digest, evidence_digest=evidence_digest)
    if samples:
        positions = [p for digest in samples for p in committer.positions_of(digest)]
        sample = stage.merge(samples.values())
        committer.chunk_result = put_part(runtime.objects, claimed.job.id, sample, positions)
    seconds = (time.monotonic() - started) / max(1, len(todo))
    committer.close(seconds_per_image=seconds if todo else None)
