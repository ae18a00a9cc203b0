"""Fit a model's rectifier on labelled source images → a new version with it."""

from api_schemas.problems import NoErrorsToLearnFrom, TooFewImages
from domain.leases import ClaimedChunk
from models.rectification import source_fit
from workers.committing import Committer
from workers.context import load_context
from workers.label_runtime import LabelRuntime
from workers.source_fits import give_up, labelled_images, store_version, with_part


def fit_rectifier_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
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
        rectifier, figures = source_fit.fit_rectifier(
            model,
            labelled_images(runtime, committer, params["source_labels"], len(context.palette)),
            context.pipeline.config.predict,
            params["seed"],
        )
    except source_fit.NoErrors as error:
        give_up(committer, NoErrorsToLearnFrom, error)
        return
    except source_fit.TooFewImages as error:
        give_up(committer, TooFewImages, error)
        return
    reference = store_version(
        runtime,
        claimed,
        context.version,
        with_part(model, "rectifier", rectifier),
        fact="has_rectifier",
        provenance={},
    )
    committer.close(job_changes={"result": {"model": reference, **figures}})
