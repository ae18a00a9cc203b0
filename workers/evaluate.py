"""Evaluation: labels of a job, or a model's own, against annotations of purpose `evaluation`."""

from collections.abc import Iterator
from typing import Any

from api_schemas.problems import InputProblem, StageFailed
from domain.leases import ClaimedChunk
from formats.errors import InputRefused
from formats.index_png import decode_grey_png, decode_label_png
from models.metrics.quality import QualityAccumulator
from storage.catalog import items, labels
from storage.catalog.evaluation_annotations import truths_by_digest
from storage.objects import ObjectMissing
from workers.committing import Committer
from workers.context import load_context, version_of
from workers.images import RgbImage
from workers.label_runtime import LabelRuntime
from workers.labelling import label_images

Scored = tuple[str, RgbImage | None, RgbImage | None, dict[str, Any] | None]


def evaluate_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Count right and wrong pixels of a chunk's images; all of it is committed at once.

    Raises:
        LeaseLost, JobOver, Draining: the chunk is done again by somebody else.
        StorageUnavailable: the store failed.
    """
    committer = Committer(runtime, claimed)
    version = version_of(runtime, claimed)
    counts = QualityAccumulator([c["name"] for c in version.ontology["classes"]])
    with runtime.catalog.read() as session:
        truths = truths_by_digest(session, claimed.job.params["annotation_set"], committer.digests)
    outcomes: list[tuple[str, dict[str, Any]]] = []
    for digest, label, confidence, problem in _labels(runtime, claimed, committer.digests):
        if problem is None:
            problem = _count(runtime, counts, truths[digest], label, confidence)
        outcome = {"error": problem, "failed_stage": "predict"} if problem else {}
        outcomes.append((digest, outcome))
        runtime.progress.tick("working")
        committer.stop_if_draining()
    for digest, outcome in outcomes:
        committer.note(digest, **outcome)
    committer.chunk_result = {"quality": counts.to_dict()}
    committer.close()


def _count(
    runtime: LabelRuntime,
    counts: QualityAccumulator,
    truth_key: str,
    label: RgbImage | None,
    confidence: RgbImage | None,
) -> dict[str, Any] | None:
    assert label is not None
    try:
        truth = decode_label_png(
            runtime.objects.get(truth_key), runtime.image_limits, len(counts.class_names)
        )
        counts.accumulate(label, confidence, truth)
    except InputRefused as error:
        return InputProblem(error.code, str(error)).to_json()
    except ObjectMissing:
        return StageFailed("The annotation is not in the object store any more.").to_json()
    except ValueError as error:
        detail = f"Label and annotation cannot be compared: {error}"
        return InputProblem("label-invalid", detail).to_json()
    return None


def _labels(runtime: LabelRuntime, claimed: ClaimedChunk, digests: list[str]) -> Iterator[Scored]:
    job_id = claimed.job.params.get("labels_of_job")
    if job_id is not None:
        yield from _labels_of_job(runtime, job_id, digests)
        return
    context = load_context(runtime, claimed)
    for done in label_images(runtime, context, digests):
        if done.maps is None:
            yield done.digest, None, None, done.problem
        else:
            yield done.digest, done.maps.label, done.maps.confidence, None


def _labels_of_job(runtime: LabelRuntime, job_id: str, digests: list[str]) -> Iterator[Scored]:
    with runtime.catalog.read() as session:
        found = items.labels_by_image(session, job_id, digests)
        rows = labels.get_labels(session, list(found.values()))
    for digest in digests:
        row = rows.get(found.get(digest, ""))
        if row is None:
            missing = StageFailed(f"Job '{job_id}' has no label for this image.")
            yield digest, None, None, missing.to_json()
            continue
        try:
            label = runtime.objects.get(row.artifacts["label.png"])
            confidence = runtime.objects.get(row.artifacts["confidence.png"])
        except ObjectMissing:
            gone = StageFailed("The label is not in the object store any more. Retry its job.")
            yield digest, None, None, gone.to_json()
            continue
        limits = runtime.image_limits
        yield digest, decode_label_png(label, limits), decode_grey_png(confidence, limits), None
