"""Fetch and decode ahead of the model, a bounded number of images at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from api_schemas.problems import InputProblem, StageFailed
from domain.logs import in_this_context
from domain.stages import measured
from formats.decode import decode_image
from formats.errors import InputRefused
from storage.objects import ObjectMissing, image_key
from workers.runtime import Runtime

AHEAD_IMAGES: Final = 4
FETCH_THREADS: Final = 2

RgbImage = npt.NDArray[np.uint8]
Fetched = tuple[str, RgbImage | None, dict[str, Any] | None]  # digest, image, problem


def fetch_image(runtime: Runtime, digest: str) -> Fetched:
    """Return one image upright, uint8 (H, W, 3) RGB, or the problem with it.

    Raises:
        StorageUnavailable: the store failed; the image itself may be fine.
    """
    try:
        with measured("fetch"):
            data = runtime.objects.get(image_key(digest))
            return digest, decode_image(data, runtime.image_limits), None
    except InputRefused as error:
        return digest, None, InputProblem(error.code, str(error)).to_json()
    except ObjectMissing:
        problem = StageFailed("The image is not in the object store any more. Upload it again.")
        return digest, None, problem.to_json()


def prefetch(
    runtime: Runtime,
    digests: Sequence[str],
    fetch: Callable[[Runtime, str], Any] = fetch_image,
) -> Iterator[Any]:
    """Yield `fetch(runtime, digest)` in order, working a few digests ahead in other threads.

    Raises:
        StorageUnavailable: as `fetch` does.
    """
    pending: deque[Future[Any]] = deque()
    fetch = in_this_context(fetch)
    with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
        try:
            for digest in digests:
                pending.append(pool.submit(fetch, runtime, digest))
                if len(pending) >= AHEAD_IMAGES:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
