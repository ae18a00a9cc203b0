"""Labels of purpose `initial` that a refine job starts from, in place of what `select` keeps."""

import numpy as np
import numpy.typing as npt

from formats.index_png import decode_label_png
from storage.objects import annotation_key
from workers.context import LabelContext
from workers.label_runtime import LabelRuntime


def kept_label(
    runtime: LabelRuntime, context: LabelContext, image_digest: str
) -> npt.NDArray[np.uint8] | None:
    """Return the label that an image comes with, uint8 (H, W), or None where `select` decides.

    Raises:
        InputRefused: it cannot be read.
        ObjectMissing: it is not there any more.
        StorageUnavailable: the store failed.
    """
    digest = context.recipe.kept_digests.get(image_digest)
    if digest is None:
        return None
    data = runtime.objects.get(annotation_key(digest))
    return decode_label_png(data, runtime.image_limits, len(context.palette))
