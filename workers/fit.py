"""The join: fit a job-wide correction on the sample that pass 1 gathered."""

import json
from collections.abc import Iterator

from domain.leases import ClaimedChunk, Commit, commit
from domain.stages import measured
from storage.objects import fit_key
from workers.committing import Draining
from workers.context import load_context
from workers.identity import canonical_digest
from workers.label_runtime import LabelRuntime
from workers.npz import Arrays
from workers.samples import read_parts


def fit_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Fit, store the fit under its digest and note it on the job.

    Raises:
        LeaseLost: the chunk is somebody else's.
        Draining: nothing was committed, the chunk is done again.
        StorageUnavailable: the store failed.
    """
    context = load_context(runtime, claimed)
    stage = context.job_wide
    if stage is None:
        raise LookupError(f"job {claimed.job.id} has no fit over the whole job")

    def parts() -> Iterator[Arrays]:
        for part in read_parts(runtime, stage, claimed.job.id, context.seed):
            runtime.progress.tick("working")
            if runtime.draining.is_set():
                raise Draining
            yield part

    sample = stage.merge(parts())
    runtime.progress.tick("loading")  # like a model that is loaded, it takes its time
    with measured("fit"):
        fit = stage.fit(context.pipeline, sample)
    digest = canonical_digest(fit)
    data = json.dumps(fit, sort_keys=True).encode()
    runtime.objects.put_new(fit_key("job", digest), data)
    work = Commit(close=True, job_changes={"job_fit_digest": digest})
    commit(runtime.catalog, claimed.lease, work, runtime.settings.lease_seconds)
