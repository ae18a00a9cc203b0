"""Adapt: re-estimate a model's normalisation statistics on unlabelled images → a new version."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from api_schemas.problems import NoUsableImage
from domain.leases import ClaimedChunk
from domain.models import reference_of
from models.normalisation import reestimate_batch_statistics, save_model
from workers.committing import Committer, Draining
from workers.context import version_of
from workers.images import RgbImage, prefetch
from workers.label_runtime import LabelRuntime
from workers.model_folder import store_folder

MIN_IMAGES = 2


def adapt_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Stream the sample through the model, store the new version, end the job with its name.

    Raises:
        LeaseLost, Draining, StorageUnavailable: nothing was committed, the chunk is done again;
            a version that was stored already is found again by its digest.
        ModelRefused: the model's statistics cannot be changed.
    """
    committer = Committer(runtime, claimed)
    version = version_of(runtime, claimed)
    runtime.progress.tick("loading")
    model = runtime.models.load_unshared(version)
    used = 0

    def images() -> Iterator[RgbImage]:
        nonlocal used
        for digest, image, problem in prefetch(runtime, committer.digests):
            runtime.progress.tick("working")
            if runtime.draining.is_set():
                raise Draining
            if image is None:
                committer.note(digest, error=problem, failed_stage="predict")
                continue
            committer.note(digest)
            used += 1
            yield image

    result = reestimate_batch_statistics(model, images())
    runtime.progress.tick("working")
    if used < MIN_IMAGES:
        error = NoUsableImage(
            f"Only {used} images could be read; at least {MIN_IMAGES} are needed."
        )
        committer.close(job_changes={"error": error.to_json(), "status": "cancelling"})
        return
    outcome = {"changed": result.changed, "note": result.note, "images": used}
    reference = reference_of(version)
    if result.changed:
        with tempfile.TemporaryDirectory(prefix="selvage-adapt-") as folder:
            save_model(result.model, Path(folder))
            row = store_folder(
                runtime.catalog,
                runtime.objects,
                Path(folder),
                name=version.model_name,
                facts=version.facts,
                ontology=version.ontology,
                kind=version.kind,
                provenance={
                    "source": "adapt",
                    "parent": reference,
                    "job": claimed.job.id,
                    "image_set": claimed.job.image_set_id,
                    "images": used,
                    "seed": claimed.job.params["seed"],
                },
                promote=claimed.job.params["promote"],
            )
        reference = reference_of(row)
    committer.close(job_changes={"result": {"model": reference, **outcome}})
