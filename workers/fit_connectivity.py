"""Fit a model's classifier of regions on labelled source images → a new version with it."""

from api_schemas.problems import NoUsableImage
from domain.leases import ClaimedChunk
from models.connectivity.source_fit import SourceFitSettings, TooFewRegions, fit_connectivity
from workers.committing import Committer
from workers.context import load_context
from workers.label_runtime import LabelRuntime
from workers.source_fits import give_up, labelled_images, store_version, with_part


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
            labelled_images(runtime, committer, params["source_labels"], len(context.palette)),
            context.pipeline.config,
            params["seed"],
            SourceFitSettings(views=params["views"]),
        )
    except TooFewRegions as error:
        give_up(committer, NoUsableImage, error)
        return
    reference = store_version(
        runtime,
        claimed,
        context.version,
        with_part(model, "connectivity", classifier),
        fact="has_connectivity",
        provenance={"region_model": params.get("region_model", {}).get("reference")},
    )
    committer.close(job_changes={"result": {"model": reference, **figures}})
