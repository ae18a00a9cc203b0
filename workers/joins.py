"""What is computed once a pass is over: thresholds from the pilot, figures of an evaluation.

Runs in the scheduler, so it imports no torch.
"""

import json
from typing import Any, Final

from domain.job_states import complete, enter
from domain.planning import pipeline_of, start_pilot
from models.config import SelectConfig
from models.metrics.quality import QualityAccumulator
from models.selection import ConfidenceHistogram, fit_thresholds
from storage.catalog import chunks, jobs
from storage.catalog.engine import Catalog
from storage.catalog.models import get_version
from storage.objects import Objects, fit_key
from workers.identity import canonical_digest

MAX_TOLD_CLASSES: Final = 40  # a job is read often: its result stays small


def join_pilot(catalog: Catalog, objects: Objects, job_id: str) -> None:
    """Fit the thresholds of a job on the sum of its pilot's histograms and enter pass 1.

    Raises:
        StorageUnavailable: the store failed; call again.
    """
    with catalog.read() as session:
        job = jobs.get_job(session, job_id)
        if job is None or job.phase != "pilot":
            return
        sampled_by = job.params.get("pilot_of", job_id)
        parts = [r["histogram"] for r in chunks.results(session, sampled_by, "pilot")]
        config = pipeline_of(session, job)
        version = get_version(session, job.model_version_id or "")
    if not parts and sampled_by != job_id:  # that job was deleted meanwhile
        _sample_anew(catalog, job_id)
        return
    assert config.select is not None
    assert version is not None
    total = ConfidenceHistogram.empty(len(version.ontology["classes"]))
    for part in parts:
        total = total.merge(ConfidenceHistogram.from_dict(part))
    fit = fit_thresholds(total, SelectConfig.from_dict(config.select.model_dump(mode="json")))
    document = fit.to_dict()
    digest = canonical_digest(document)
    objects.put_new(fit_key("pilot", digest), json.dumps(document, sort_keys=True).encode())
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.phase == "pilot" and job.status == "running":
            job.pilot_fit_digest = digest
            enter(session, job, "label")


def _sample_anew(catalog: Catalog, job_id: str) -> None:
    """Let a job that counted on the pilot of another one run its own."""
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.phase == "pilot" and job.status == "running":
            job.params = {k: v for k, v in job.params.items() if k != "pilot_of"}
            start_pilot(session, job, pipeline_of(session, job))


def merge_evaluation(catalog: Catalog, job_id: str) -> None:
    """Add up the counts of an evaluation and end its job with the figures."""
    with catalog.write() as session:
        job = jobs.lock_job(session, job_id)
        if job.phase != "final" or job.status != "finalizing":
            return
        parts = [
            QualityAccumulator.from_dict(r["quality"])
            for r in chunks.results(session, job_id, "evaluate")
        ]
        total = parts[0]
        for part in parts[1:]:
            total.merge(part)
        complete(session, job, {"quality": total.summary(), **_confusion_of(total)})


def _confusion_of(total: QualityAccumulator) -> dict[str, Any]:
    """The matrix of `models.metrics.confusion` where it is small enough to be told with a job."""
    if len(total.class_names) > MAX_TOLD_CLASSES:
        return {}
    return {"confusion": {"classes": list(total.class_names), "pixels": total.confusion.tolist()}}
