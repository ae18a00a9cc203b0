"""Pass 2: evidence and job fit ▸ correct ▸ encode ▸ put."""

from api_schemas.problems import StageFailed
from domain.leases import ClaimedChunk
from storage.objects import ObjectMissing, evidence_key
from workers.artefacts import put_label
from workers.committing import Committer
from workers.context import load_context, read_fit
from workers.images import prefetch
from workers.label_runtime import LabelRuntime
from workers.npz import unpack
from workers.runtime import Runtime
from workers.stages import StageBroke, in_stage


def finish_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Finish the labels of a chunk; raises as `workers.label.label_chunk`."""
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    stage = context.job_wide
    fit_digest = claimed.job.job_fit_digest
    if stage is None or fit_digest is None:
        raise LookupError(f"job {claimed.job.id} has no fit to finish with")
    fit = read_fit(runtime, "job", fit_digest)
    finish = stage.finisher(fit, keep_stages=context.pipeline.config.keep_stages)

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
        try:
            with in_stage("correct"):
                maps = finish(digest, unpack(data))
        except StageBroke as error:
            committer.add(digest, error=error.problem, failed_stage=error.stage)
            continue
        label = put_label(
            runtime.objects, context, image_digest=digest, maps=maps, job_fit_digest=fit_digest
        )
        committer.add(digest, label=label, quality=label["quality"])
    committer.close()
