"""Makes `import torchvision` work beside a torch that its compiled operators were not built for.

The wheels of torchvision that package indexes carry are built against the CUDA build of torch. With
the CPU build they install, and then fail on import, because `torchvision::nms` is not registered
(pytorch/vision#9085, declined). Two schemas and one kernel are all that segment-anything needs of
them.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# The library unregisters its operators when it is collected, so it lives as long as the process.
_LIBRARY: Any = None
# What is asked of torch here has no types.
_torch: Any = torch
_NMS = "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_QNMS = "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def ensure_torchvision_operators() -> bool:
    """Register a plain `torchvision::nms` if the compiled one cannot be loaded.

    Call it before anything that may import torchvision. Calling it again does nothing.

    Returns:
        True if the compiled operators are used (or torchvision is not installed), False if ours.
    """
    global _LIBRARY
    if _LIBRARY is not None:
        return False
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _compiled_operators_load(Path(spec.origin).parent):
        return True
    _LIBRARY = _torch.library.Library("torchvision", "DEF")
    _LIBRARY.define(_NMS)
    _LIBRARY.define(_QNMS)
    _LIBRARY.impl("nms", greedy_nms, "CPU")
    from torchvision import extension

    # `torchvision.ops` asks this before each call; it looks for the compiled library otherwise.
    extension._has_ops = lambda: True
    return False


def _compiled_operators_load(folder: Path) -> bool:
    libraries = sorted(folder.glob("_C*.so"))
    try:
        for path in libraries:
            _torch.ops.load_library(str(path))
    except OSError:
        return False
    return bool(libraries)


def greedy_nms(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that non-maximum suppression keeps, by falling score.

    Args:
        boxes_xyxy: float [N, 4].
        scores: float [N]; of equal scores the lower index goes first.
        iou_threshold: a box is dropped if its IoU with a kept one is larger.

    Returns:
        int64 [M].
    """
    order = torch.argsort(scores, descending=True, stable=True)
    # In numpy, whose calls on a few hundred values cost a fraction of torch's.
    left, top, right, bottom = boxes_xyxy.float()[order].numpy().T
    area = (right - left) * (bottom - top)
    rest = np.arange(len(order))
    kept = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        # Not `<=`: boxes without area have no IoU, and stay.
        rest = rest[~(shared > iou_threshold * (area[best] + area[rest] - shared))]
    return order[torch.tensor(np.array(kept, np.int64))]
