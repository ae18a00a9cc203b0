"""The pilot: confidence histograms of a sample of the set, from which thresholds are fitted."""

from domain.leases import ClaimedChunk
from models.selection import ConfidenceHistogram
from workers.committing import Committer
from workers.context import load_context
from workers.label_runtime import LabelRuntime
from workers.labelling import predict_images


def pilot_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Count the confidences of a chunk's images; an unusable image is left to pass 1 to report.

    Raises:
        LeaseLost, Draining, StorageUnavailable: nothing was committed, the chunk is done again.
    """
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    total = ConfidenceHistogram.empty(len(context.palette))
    for done in predict_images(runtime, context, committer.digests):
        if done.prediction is not None:
            total = total.merge(context.pipeline.histogram(done.prediction))
            runtime.predictions.put(context.prediction_key(done.digest), done.prediction)
        runtime.progress.tick("working")
        committer.stop_if_draining()
    committer.chunk_result = {"histogram": total.to_dict()}
    committer.close()
