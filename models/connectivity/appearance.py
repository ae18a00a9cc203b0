"""What a region looks like, and what lies around it, without any network."""

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

_COARSE_SIGMA_PX: Final = 2.0
_LAB_SCALE: Final = 100.0

Components = npt.NDArray[np.int32]


def appearance_features(
    components: Components,
    classes: npt.NDArray[np.uint8],
    num_classes: int,
    image: npt.NDArray[np.uint8],
) -> npt.NDArray[np.float64]:
    """Appearance of the regions 1..N, float64 (N, 17 + K).

    Mean and deviation of L, a, b (6, in hundredths); mean gradient of L as it is and blurred (2);
    log of the area, log of width over height of the box, share of the box that is filled, centre
    x and y as shares of the image, share of the box's sides at the edge of the image (6);
    mean distance of colour across the border, border length over the square root of the area (2);
    shares of the border by the class beside it (K, and one for no region).

    Args:
        components: int32 (H, W), 0 where no region is.
        classes: the class of each region, uint8 (N,).
        num_classes: K.
        image: uint8 (H, W, 3) RGB.
    """
    count = len(classes)
    ids = components.ravel()
    areas = np.maximum(np.bincount(ids, minlength=count + 1)[1:], 1)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / np.float32(_LAB_SCALE)
    columns = [*_colour(ids, areas, lab), *_texture(ids, areas, lab[..., 0])]
    columns += _shape(components, areas)
    columns += _border(components, classes, num_classes, areas, lab)
    return np.stack(columns, axis=1)


def _colour(
    ids: npt.NDArray[np.int32], areas: npt.NDArray[np.int64], lab: npt.NDArray[np.float32]
) -> list[npt.NDArray[np.float64]]:
    means, deviations = [], []
    for channel in range(3):
        values = lab[..., channel].ravel().astype(np.float64)
        mean = _sums(ids, values, len(areas)) / areas
        square = _sums(ids, values**2, len(areas)) / areas
        means.append(mean)
        deviations.append(np.sqrt(np.maximum(square - mean**2, 0)))
    return means + deviations


def _texture(
    ids: npt.NDArray[np.int32], areas: npt.NDArray[np.int64], lightness: npt.NDArray[np.float32]
) -> list[npt.NDArray[np.float64]]:
    coarse = np.asarray(cv2.GaussianBlur(lightness, (0, 0), _COARSE_SIGMA_PX), np.float32)
    return [_sums(ids, _gradient(plane), len(areas)) / areas for plane in (lightness, coarse)]


def _gradient(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    dx = cv2.Sobel(plane, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(plane, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return np.hypot(dx, dy).ravel()


def _shape(components: Components, areas: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
    height, width = components.shape
    ids, count = components.ravel(), len(areas)
    x0, x1 = _extent(components, count, axis=1)
    y0, y1 = _extent(components, count, axis=0)
    box_hw = np.maximum(y1 - y0, 1), np.maximum(x1 - x0, 1)
    at_edge = (x0 == 0).astype(float) + (y0 == 0) + (x1 == width) + (y1 == height)
    columns = np.broadcast_to(np.arange(width), components.shape).ravel()
    rows = np.repeat(np.arange(height), width)
    return [
        np.log(areas),
        np.log(box_hw[1] / box_hw[0]),
        areas / (box_hw[0] * box_hw[1]),
        (_sums(ids, columns, count) / areas + 0.5) / width,
        (_sums(ids, rows, count) / areas + 0.5) / height,
        at_edge / 4,
    ]


def _extent(
    components: Components, count: int, axis: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First row (axis 0) or column (axis 1) of each region, and the one after its last."""
    lines = components if axis == 0 else components.T
    first = np.zeros(count + 1, np.int64)
    last = np.zeros(count + 1, np.int64)
    places = np.repeat(np.arange(lines.shape[0]), lines.shape[1])
    ids = lines.ravel()
    # Of several values for one index the last one stays.
    last[ids] = places + 1
    first[ids[::-1]] = places[::-1]
    return first[1:], last[1:]


def _border(
    components: Components,
    classes: npt.NDArray[np.uint8],
    num_classes: int,
    areas: npt.NDArray[np.int64],
    lab: npt.NDArray[np.float32],
) -> list[npt.NDArray[np.float64]]:
    here, there, contrast = _border_pairs(components, lab)
    count = len(areas)
    class_of = np.concatenate([[num_classes], classes.astype(np.int64)])
    lengths = np.bincount(here, minlength=count + 1)[1:]
    beside = np.bincount(
        here * (num_classes + 1) + class_of[there], minlength=(count + 1) * (num_classes + 1)
    ).reshape(count + 1, -1)[1:]
    whole = np.maximum(lengths, 1)
    return [
        _sums(here, contrast, count) / whole,
        lengths / np.sqrt(areas),
        *(beside / whole[:, None]).T,
    ]


def _border_pairs(
    components: Components, lab: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Region, the one beside it (0 for none), and the distance of colour, for each pixel edge."""
    pairs = []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differ = components[a] != components[b]
        one, other = components[a][differ], components[b][differ]
        distance = np.sqrt(((lab[a][differ] - lab[b][differ]) ** 2).sum(1, dtype=np.float64))
        pairs += [(one, other, distance), (other, one, distance)]
    here, there, contrast = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return here.astype(np.int64), there.astype(np.int64), contrast


def _sums(
    ids: npt.NDArray[np.integer[Any]], values: npt.NDArray[Any], count: int
) -> npt.NDArray[np.float64]:
    sums = np.bincount(ids, weights=values.ravel(), minlength=count + 1)[1:]
    return sums.astype(np.float64, copy=False)
