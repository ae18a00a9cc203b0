"""What jobs that fit a part of a model on images have in common."""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from api_schemas.problems import InputProblem, ProblemError, StageFailed
from domain.leases import ClaimedChunk
from domain.models import reference_of
from formats.errors import InputRefused
from formats.index_png import decode_label_png
from models.normalisation import save_model
from models.segmentation.base import SegmentationModel
from models.segmentation.loading import load_model
from storage.catalog.annotations import keys_by_digest
from storage.catalog.tables import JobRow, ModelVersionRow
from storage.objects import ObjectMissing
from workers.committing import Committer, Draining
from workers.images import RgbImage, prefetch
from workers.label_runtime import LabelRuntime
from workers.model_folder import store_folder

Labelled = tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def labelled_images(
    runtime: LabelRuntime, committer: Committer, annotation_set: str, num_classes: int
) -> Iterator[Labelled]:
    """Yield the images that can be used, and note what became of each.

    Yields:
        Image digest, image uint8 (H, W, 3), true classes uint8 (H, W), 255 where not known.

    Raises:
        Draining: the worker is to stop.
        StorageUnavailable: the store failed.
    """
    with runtime.catalog.read() as session:
        keys = keys_by_digest(session, annotation_set, committer.digests)
    for digest, image, problem in prefetch(runtime, committer.digests):
        runtime.progress.tick("loading")  # a fit may look at an image for long
        if runtime.draining.is_set():
            raise Draining
        truth = None
        if image is not None:
            truth, problem = _truth(runtime, keys.get(digest), image, num_classes)
        if image is None or truth is None:
            committer.note(digest, error=problem, failed_stage="predict")
            continue
        committer.note(digest)
        yield digest, image, truth


def plain_images(runtime: LabelRuntime, committer: Committer) -> Iterator[RgbImage]:
    """Yield the images that can be read, uint8 (H, W, 3), and note what became of each.

    Raises:
        Draining, StorageUnavailable: as `labelled_images`.
    """
    for digest, image, problem in prefetch(runtime, committer.digests):
        runtime.progress.tick("loading")
        if runtime.draining.is_set():
            raise Draining
        if image is None:
            committer.note(digest, error=problem, failed_stage="predict")
            continue
        committer.note(digest)
        yield image


def _truth(
    runtime: LabelRuntime, key: str | None, image: RgbImage, num_classes: int
) -> tuple[RgbImage | None, dict[str, Any] | None]:
    try:
        data = runtime.objects.get(key or "")
        truth = decode_label_png(data, runtime.image_limits, num_classes)
    except InputRefused as error:
        return None, InputProblem(error.code, str(error)).to_json()
    except (ObjectMissing, ValueError):
        return None, StageFailed("The annotation is not in the object store any more.").to_json()
    if truth.shape != image.shape[:2]:
        return None, InputProblem("label-invalid", "Label and image differ in size.").to_json()
    return truth, None


def give_up(committer: Committer, problem: type[ProblemError], reason: ValueError) -> None:
    """End the job, which found too little to fit on."""
    text = str(reason)
    error = problem(f"{text[:1].upper()}{text[1:]}.").to_json()
    committer.close(job_changes={"error": error, "status": "cancelling"})


def with_part(model: SegmentationModel, name: str, part: Any) -> SegmentationModel:
    """Return a copy of a model, sharing its weights, that carries a part under this attribute."""
    changed: Any = copy.copy(model)
    setattr(changed, name, part)
    return changed  # type: ignore[no-any-return]


def _fitted_on(job: JobRow) -> dict[str, Any]:
    labels = job.params.get("source_labels")
    return {"image_set": job.image_set_id} if labels is None else {"annotation_set": labels}


def store_version(
    runtime: LabelRuntime,
    claimed: ClaimedChunk,
    version: ModelVersionRow,
    model: SegmentationModel,
    *,
    fact: str,
    provenance: dict[str, Any],
) -> str:
    """Store a model with a part that was fitted as the next version, and return its reference.

    Args:
        version: the one that the part was fitted for.
        fact: which of the version's facts the part makes true.
        provenance: what else is told of where the part comes from.

    Raises:
        ModelRefused: what was fitted cannot be read again; nothing was registered.
        StorageUnavailable: the store failed; nothing was registered.
    """
    params = claimed.job.params
    with tempfile.TemporaryDirectory(prefix="selvage-fit-") as folder:
        save_model(model, Path(folder))
        load_model(Path(folder), "cpu")  # a version that cannot be read would break later jobs
        row = store_folder(
            runtime.catalog,
            runtime.objects,
            Path(folder),
            name=version.model_name,
            facts={**version.facts, fact: True},
            ontology=version.ontology,
            kind=version.kind,
            provenance={
                "source": claimed.job.type,
                "parent": reference_of(version),
                "job": claimed.job.id,
                **_fitted_on(claimed.job),
                "seed": params["seed"],
                **provenance,
            },
            promote=params["promote"],
        )
    return reference_of(row)
