"""The join: fit a job-wide correction on the sample that pass 1 gathered."""

import json

from domain.leases import ClaimedChunk, Commit, commit
from domain.planning import pipeline_of
from storage.catalog import chunks
from storage.objects import fit_key
from workers.identity import canonical_digest
from workers.job_wide import merge_samples
from workers.label_runtime import LabelRuntime


def fit_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Fit, store the fit under its digest and note it on the job.

    Raises:
        LeaseLost: the chunk is somebody else's.
        StorageUnavailable: the store failed.
    """
    runtime.progress.tick("working")
    with runtime.catalog.read() as session:
        wire = pipeline_of(session, claimed.job)
        parts = [r["sample"] for r in chunks.results(session, claimed.job.id, "label")]
    stage = runtime.job_wide_stages[(wire.correct or {})["mode"]]
    fit = stage.fit(merge_samples(parts, stage.sample_size))
    digest = canonical_digest(fit)
    data = json.dumps(fit, sort_keys=True).encode()
    runtime.objects.put_new(fit_key("job", digest), data)
    work = Commit(close=True, job_changes={"job_fit_digest": digest})
    commit(runtime.catalog, claimed.lease, work, runtime.settings.lease_seconds)
