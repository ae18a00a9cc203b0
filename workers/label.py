"""Pass 1: fetch ▸ decode ▸ label path ▸ encode ▸ put, overlapped; for most pipelines the only pass.

Three things go on at once: images are fetched and decoded ahead, the model runs in the main
thread, and finished labels are encoded and stored behind it. All three are bounded, so that
memory does not grow with the number of images.
"""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from domain.leases import ClaimedChunk
from domain.logs import in_this_context
from storage.catalog.labels import find_labels
from storage.kept_objects import keep
from storage.objects import label_key
from workers import evidence
from workers.artefacts import put_label
from workers.committing import Committer
from workers.context import LabelContext, load_context
from workers.label_runtime import LabelRuntime
from workers.labelling import label_images

STORE_THREADS: Final = 2
STORES_IN_FLIGHT: Final = 4


def label_chunk(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
    """Label the images of a chunk and commit the results as they come.

    Raises:
        LeaseLost, JobOver, Draining: see `workers.committing`; what was committed stays.
        StorageUnavailable: the store failed; what was committed stays.
    """
    committer = Committer(runtime, claimed)
    context = load_context(runtime, claimed)
    if context.job_wide is not None:
        evidence.collect(runtime, claimed, committer, context)
        return
    started = time.monotonic()
    todo = _reuse_finished(runtime, context, committer)
    put = in_this_context(put_label)
    with ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store") as pool:
        storing: deque[tuple[str, Future[dict[str, Any]], float]] = deque()
        for done in label_images(runtime, context, todo):
            if done.maps is None:
                committer.add(done.digest, error=done.problem, failed_stage=done.failed_stage)
                continue
            row = pool.submit(
                put, runtime.objects, context, image_digest=done.digest, maps=done.maps
            )
            storing.append((done.digest, row, done.seconds))
            while len(storing) > STORES_IN_FLIGHT or (storing and storing[0][1].done()):
                _note(committer, *storing.popleft())
        while storing:
            _note(committer, *storing.popleft())
    seconds_per_image = (time.monotonic() - started) / len(todo) if todo else None
    committer.close(seconds_per_image=seconds_per_image)


def _reuse_finished(
    runtime: LabelRuntime, context: LabelContext, committer: Committer
) -> list[str]:
    """Take over labels that exist already; returns the images that are still to do."""
    by_label = {context.recipe.label_digest(d): d for d in committer.digests}
    keep(runtime.catalog, [label_key(d, "label.png") for d in by_label])
    with runtime.catalog.read() as session:
        found = find_labels(session, list(by_label))
    for label_digest, row in found.items():
        committer.add(by_label[label_digest], label_id=row.id, quality=row.quality)
    return [d for label_digest, d in by_label.items() if label_digest not in found]


def _note(committer: Committer, digest: str, row: "Future[dict[str, Any]]", seconds: float) -> None:
    label = row.result()
    stage_seconds = {"label": round(seconds, 4)}
    committer.add(digest, label=label, quality=label["quality"], stage_seconds=stage_seconds)
