"""Non-maximum suppression over boxes of which only bounds are known until it matters."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]


def suppress_lazily(
    scores: npt.NDArray[np.floating],
    inner_xyxy: Boxes,
    outer_xyxy: Boxes,
    iou_threshold: float,
    true_box: Callable[[int], Boxes | None],
    stays: Callable[[int], bool],
) -> list[int]:
    """Indices that `greedy_nms` keeps over the true boxes, by falling score.

    A true box is asked for if it is kept, or if the bounds leave open whether a kept one suppresses
    it.

    Args:
        scores: float (N,); of equal scores the lower index goes first.
        inner_xyxy: (N, 4), boxes that lie inside the true ones; may be inside out if nothing does.
        outer_xyxy: (N, 4), boxes that hold the true ones.
        iou_threshold: a box is dropped if its IoU with a kept one is larger.
        true_box: gives the true box (4,) of an index; None if there is none, which neither stays
            nor suppresses another. Asked at most once for each.
        stays: whether one that nothing suppresses, if its box is there, is good enough to stay and
            to suppress others.
    """
    inner, outer = inner_xyxy.copy(), outer_xyxy.copy()
    known, gone = np.zeros((2, len(scores)), dtype=bool)

    def know(index: int) -> bool:
        if not known[index]:
            known[index] = True
            box = true_box(index)
            if box is None:
                gone[index] = True
            else:
                inner[index] = outer[index] = box
        return not gone[index]

    rest = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(rest):
        best, rest = int(rest[0]), rest[1:]
        if not stays(best) or not know(best):
            continue
        kept.append(best)
        surely, perhaps = _overlaps(outer[best], inner[rest], outer[rest], iou_threshold)
        for index in rest[perhaps & ~surely & ~known[rest]]:
            know(int(index))
        surely, _ = _overlaps(outer[best], inner[rest], outer[rest], iou_threshold)
        rest = rest[~surely & ~gone[rest]]
    return kept


def _overlaps(
    box: Boxes, inner: Boxes, outer: Boxes, iou_threshold: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether boxes between bounds surely, and whether they perhaps, overlap one box too much."""
    area = _area(box)
    least_shared, most_shared = _shared(box, inner), _shared(box, outer)
    largest_union = area + _area(outer) - least_shared
    smallest_union = np.maximum(area, area + _area(inner) - most_shared)
    return (
        least_shared > iou_threshold * largest_union,
        most_shared > iou_threshold * smallest_union,
    )


def _shared(box: Boxes, others: Boxes) -> npt.NDArray[np.float64]:
    corner = np.maximum(box[:2], others[:, :2])
    return _area(np.concatenate([corner, np.minimum(box[2:], others[:, 2:])], axis=1))


def _area(boxes: Boxes) -> npt.NDArray[np.float64]:
    sides: Boxes = (boxes[..., 2:] - boxes[..., :2]).clip(0)
    return sides[..., 0] * sides[..., 1]
