"""Fit a model's classifier of regions on labelled source images → a new version with it."""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api_schemas.problems import InputProblem, NoUsableImage, StageFailed
from domain.leases import ClaimedChunk
from domain.models import reference_of
from formats.errors import InputRefused
from formats.index_png import decode_label_png
from models.connectivity.classifier import Classifier
from models.connectivity.source_fit import (
    Labelled,
    SourceFitSettings,
    TooFewRegions,
    fit_connectivity,
)
from models.normalisation import save_model
from models.segmentation.base import SegmentationModel
from storage.catalog.annotations import keys_by_digest
from storage.catalog.tables import ModelVersionRow
from storage.objects import ObjectMissing
from workers.committing import Committer, Draining
from workers.context import load_context
from workers.images import RgbImage, prefetch
from workers.label_runtime import LabelRuntime
from workers.model_folder import store_folder


def fit_connectivity_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Stream the labelled images, store the new version, end the job with its name.

    Raises:
        LeaseLost, Draining, StorageUnavailable: nothing was committed, the chunk is done again;
            a version that was stored already is found again by its digest.
    """
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    params = claimed.job.params
    model = runtime.models.load(context.version)
    try:
        classifier, figures = fit_connectivity(
            model,
            context.region_model,
            _labelled(runtime, committer, params["source_labels"], len(context.palette)),
            context.pipeline.config,
            params["seed"],
            SourceFitSettings(views=params["views"]),
        )
    except TooFewRegions as error:
        problem = NoUsableImage(f"{str(error).capitalize()}.").to_json()
        committer.close(job_changes={"error": problem, "status": "cancelling"})
        return
    row = _store(runtime, claimed, context.version, _with(model, classifier))
    committer.close(job_changes={"result": {"model": reference_of(row), **figures}})


def _labelled(
    runtime: LabelRuntime, committer: Committer, annotation_set: str, num_classes: int
) -> Iterator[Labelled]:
    """Yield the images that can be used, and note what became of each."""
    with runtime.catalog.read() as session:
        keys = keys_by_digest(session, annotation_set, committer.digests)
    for digest, image, problem in prefetch(runtime, committer.digests):
        runtime.progress.tick("loading")  # several views of an image take their time
        if runtime.draining.is_set():
            raise Draining
        truth = None
        if image is not None:
            truth, problem = _truth(runtime, keys.get(digest), image, num_classes)
        if truth is None:
            committer.note(digest, error=problem, failed_stage="predict")
            continue
        committer.note(digest)
        yield digest, image, truth


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


def _with(model: SegmentationModel, classifier: Classifier) -> SegmentationModel:
    changed: Any = copy.copy(model)
    changed.connectivity = classifier
    return changed  # type: ignore[no-any-return]


def _store(
    runtime: LabelRuntime,
    claimed: ClaimedChunk,
    version: ModelVersionRow,
    model: SegmentationModel,
) -> ModelVersionRow:
    params = claimed.job.params
    with tempfile.TemporaryDirectory(prefix="selvage-fit-") as folder:
        save_model(model, Path(folder))
        return store_folder(
            runtime.catalog,
            runtime.objects,
            Path(folder),
            name=version.model_name,
            facts={**version.facts, "has_connectivity": True},
            ontology=version.ontology,
            kind=version.kind,
            provenance={
                "source": "fit_connectivity",
                "parent": reference_of(version),
                "job": claimed.job.id,
                "annotation_set": params["source_labels"],
                "region_model": params.get("region_model", {}).get("reference"),
                "seed": params["seed"],
            },
            promote=params["promote"],
        )
