"""Pass 2: evidence and job fit ▸ correct ▸ encode ▸ put."""

from api_schemas.problems import StageFailed
from domain.leases import ClaimedChunk
from domain.stages import measured
from storage.objects import ObjectMissing, evidence_key
from workers.artefacts import put_label
from workers.committing import Committer
from workers.context import load_context, read_fit
from workers.images import prefetch
from workers.label_runtime import LabelRuntime
from workers.npz import unpack
from workers.runtime import Runtime


def finish_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Finish the labels of a chunk; raises as `workers.label.label_chunk`."""
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    stage = context.job_wide
    fit_digest = claimed.job.job_fit_digest
    if stage is None or fit_digest is None:
        raise LookupError(f"job {claimed.job.id} has no fit to finish with")
    fit = read_fit(runtime, "job", fit_digest)

    def fetch(runtime: Runtime, digest: str) -> tuple[str, bytes | None]:
        try:
            key = evidence_key(context.recipe.evidence_digest(digest))
            return digest, runtime.objects.get(key)
        except ObjectMissing:
            return digest, None

    for digest, data in prefetch(runtime, committer.digests, fetch):
        if data is None:
            gone = StageFailed("The evidence of pass 1 is not kept any more. Retry the job.")
            committer.add(digest, error=gone.to_json(), failed_stage="correct")
            continue
        with measured("correct"):
            maps = stage.finish(unpack(data), fit)
        label = put_label(
            runtime.objects, context, image_digest=digest, maps=maps, job_fit_digest=fit_digest
        )
        committer.add(digest, label=label, quality=label["quality"])
    committer.close()
