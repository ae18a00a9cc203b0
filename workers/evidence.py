"""Pass 1 for a job-wide correction: the evidence of each image, and the chunk's sample part."""

import time

from domain.leases import ClaimedChunk
from storage.objects import evidence_key
from workers.committing import Committer
from workers.context import LabelContext
from workers.job_wide import JobWideStage
from workers.label_runtime import LabelRuntime
from workers.labelling import evidence_of, predict_images
from workers.npz import Arrays, pack, unpack
from workers.runtime import log
from workers.samples import put_part
from workers.stages import StageBroke


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
        sample = _sample_of_stored(runtime, context, stage, digest)
        if sample is None:
            todo.append(digest)
            continue
        samples[digest] = sample
        committer.add(digest, evidence_digest=evidence_digest)
    for done in predict_images(runtime, context, todo, need_images=True):
        if done.prediction is None:
            committer.add(done.digest, error=done.problem, failed_stage="predict")
            continue
        try:
            found = stage.evidence(evidence_of(runtime, context, done))
        except StageBroke as error:
            committer.add(done.digest, error=error.problem, failed_stage=error.stage)
            continue
        evidence_digest = context.recipe.evidence_digest(done.digest)
        runtime.objects.put_new(evidence_key(evidence_digest), pack(found))
        samples[done.digest] = stage.sample(done.digest, found, context.seed)
        committer.add(done.digest, evidence_digest=evidence_digest)
    if samples:
        positions = [p for digest in samples for p in committer.positions_of(digest)]
        part = stage.merge(samples.values())
        committer.chunk_result = put_part(runtime.objects, claimed.job.id, part, positions)
    seconds = (time.monotonic() - started) / max(1, len(todo))
    committer.close(seconds_per_image=seconds if todo else None)


def _sample_of_stored(
    runtime: LabelRuntime, context: LabelContext, stage: JobWideStage, image_digest: str
) -> Arrays | None:
    """Return what an image adds to the sample if its evidence is there already."""
    key = evidence_key(context.recipe.evidence_digest(image_digest))
    if not runtime.objects.exists(key):
        return None
    try:
        return stage.sample(image_digest, unpack(runtime.objects.get(key)), context.seed)
    except ValueError as error:
        log.warning("evidence was damaged; making it anew", image=image_digest, error=str(error))
        runtime.objects.delete([key])
        return None
