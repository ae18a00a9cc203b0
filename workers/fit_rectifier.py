"""Fit a model's rectifier on labelled source images, or on images alone → a new version with it."""

from typing import Final

from api_schemas.problems import NoErrorsToLearnFrom, TooFewImages
from domain.leases import ClaimedChunk
from models.promptable.builtin import built_in_digest
from models.rectification import source_fit, source_free
from workers.committing import Committer
from workers.context import load_context
from workers.label_runtime import LabelRuntime
from workers.source_fits import give_up, labelled_images, plain_images, store_version, with_part

REGIONS: Final = "graph"  # whose majority is asked where there are no labels


def fit_rectifier_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Stream the images, store the new version, end the job with its name.

    Raises:
        LeaseLost, Draining, StorageUnavailable: nothing was committed, the chunk is done again;
            a version that was stored already is found again by its digest.
    """
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    params = claimed.job.params
    model = runtime.models.load(context.version)
    predict = context.pipeline.config.predict
    labels = params.get("source_labels")
    try:
        if labels is not None:
            labelled = labelled_images(runtime, committer, labels, len(context.palette))
            fitted = source_fit.fit_rectifier(model, labelled, predict, params["seed"])
        else:
            regions = runtime.region_models.load_built_in(REGIONS, built_in_digest(REGIONS))
            images = plain_images(runtime, committer)
            fitted = source_free.fit_source_free(model, images, predict, params["seed"], regions)
    except source_fit.NoErrors as error:
        give_up(committer, NoErrorsToLearnFrom, error)
        return
    except source_fit.TooFewImages as error:
        give_up(committer, TooFewImages, error)
        return
    rectifier, figures = fitted
    reference = store_version(
        runtime,
        claimed,
        context.version,
        with_part(model, "rectifier", rectifier),
        fact="has_rectifier",
        provenance={},
    )
    committer.close(job_changes={"result": {"model": reference, **figures}})
