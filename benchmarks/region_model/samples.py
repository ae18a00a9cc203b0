"""One training example: an image in the model's square, some of its segments, and a prompt each."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.region_model.photometry import strong_photometry
from benchmarks.region_model.segments import segments_of

PROMPTS_PER_IMAGE = 8
LEAST_AREA_PX = 30
_SMALL_AREA_PX = 100
_MOST_ZOOM = 2.2
_WHOLE_PROBABILITY = 0.4
# Shapes of the image inside the square: landscape, square, portrait.
_SHAPES = ((0.75, 1.0), (1.0, 1.0), (1.0, 0.75))
_SHAPE_PROBABILITIES = (0.6, 0.25, 0.15)
_NOT_A_POINT, _POINT = -1.0, 1.0

Source = tuple[
    npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.integer] | None
]  # image, label, instances


@dataclass(frozen=True)
class Sample:
    """A training example; the square has side S, and it asks for P = 8 of its segments.

    Attributes:
        image: uint8 (S, S, 3) RGB, zero outside the image.
        segments: int32 (S, S), the number of each pixel's segment; 0 outside the image and where
            nothing is annotated.
        numbers: int32 (P,), the segments that are asked for.
        boxes_xyxy: float32 (P, 4) in pixels of the square.
        points_xy: float32 (P, 2, 2), two points inside the segment.
    """

    image: npt.NDArray[np.uint8]
    segments: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    boxes_xyxy: npt.NDArray[np.float32]
    points_xy: npt.NDArray[np.float32]


def draw_sample(source: Source, square_px: int, rng: np.random.Generator) -> Sample | None:
    """A random view of a labelled image, or None if it shows no segment of 30 pixels.

    Args:
        source: image uint8 (H, W, 3), label uint8 (H, W) and instances (H, W) or None.
        square_px: side S of the model's input.
        rng: the generator of this one draw.
    """
    image, label, instances = _view(source, square_px, rng)
    segments = segments_of(label, instances)
    areas_px = np.bincount(segments.ravel())
    areas_px[0] = 0
    chosen = _choose(areas_px, rng)
    if chosen is None:
        return None
    height, width = label.shape
    square = np.zeros((square_px, square_px, 3), np.uint8)
    square[:height, :width] = strong_photometry(image, rng)
    numbered = np.zeros((square_px, square_px), np.int32)
    numbered[:height, :width] = segments
    points = np.stack([_inner_points(segments == number, rng) for number in chosen])
    boxes = np.stack([_jitter(box_of(segments == number), label.shape, rng) for number in chosen])
    return Sample(square, numbered, chosen.astype(np.int32), boxes, points)


def box_of(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The tight box of a mask that is not empty: x0, y0, x1, y1 of its outermost pixels."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def _view(source: Source, square_px: int, rng: np.random.Generator) -> Source:
    """A zoomed, cut and perhaps mirrored copy that fits into the square."""
    image, label, instances = source
    shape = _SHAPES[int(rng.choice(len(_SHAPES), p=_SHAPE_PROBABILITIES))]
    out_hw = round(shape[0] * square_px), round(shape[1] * square_px)
    whole = min(label.shape[0] / out_hw[0], label.shape[1] / out_hw[1])
    zoom = 1.0
    if rng.random() >= _WHOLE_PROBABILITY:
        zoom = float(np.exp(rng.uniform(0, np.log(_MOST_ZOOM))))
    cut_h, cut_w = (max(8, int(side * whole / zoom)) for side in out_hw)
    top = int(rng.integers(label.shape[0] - cut_h + 1))
    left = int(rng.integers(label.shape[1] - cut_w + 1))
    part = np.s_[top : top + cut_h, left : left + cut_w]
    step = -1 if rng.random() < 0.5 else 1
    size_wh = out_hw[::-1]
    smooth = cv2.INTER_AREA if cut_h > out_hw[0] else cv2.INTER_LINEAR
    view = cv2.resize(image[part], size_wh, interpolation=smooth).astype(np.uint8, copy=False)
    nearest = _resized(label[part], size_wh).astype(np.uint8)
    numbers = None if instances is None else _resized(instances[part], size_wh)[:, ::step]
    return view[:, ::step], nearest[:, ::step], numbers


def _resized(values: npt.NDArray, size_wh: tuple[int, int]) -> npt.NDArray[np.integer]:
    # The plain INTER_NEAREST lies half a pixel beside the image that is resized with it.
    small = cv2.resize(values.astype(np.uint16), size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(small)


def _choose(
    areas_px: npt.NDArray[np.integer], rng: np.random.Generator
) -> npt.NDArray[np.integer] | None:
    """Numbers of the segments to ask for: mostly any, some by their area, few small ones."""
    large = np.flatnonzero(areas_px >= _SMALL_AREA_PX)
    small = np.flatnonzero((areas_px >= LEAST_AREA_PX) & (areas_px < _SMALL_AREA_PX))
    if not len(large):
        large = small
    if not len(large):
        return None
    chosen = []
    order = rng.permutation(large)
    for place in range(PROMPTS_PER_IMAGE):
        kind = rng.random()
        if kind < 0.15 and len(small):
            chosen.append(rng.choice(small))
        elif kind < 0.4:
            weights = areas_px[large] / areas_px[large].sum()
            chosen.append(rng.choice(large, p=weights))
        else:
            chosen.append(order[place % len(order)])
    return np.array(chosen)


def _inner_points(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    inside = np.flatnonzero(mask)
    drawn = inside[rng.integers(len(inside), size=2)]
    return np.stack([drawn % mask.shape[1], drawn // mask.shape[1]], 1).astype(np.float32)


def _jitter(
    box_xyxy: npt.NDArray[np.float32], size_hw: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The box as it is, shaken as in SAM's training (10 % of a side, at most 20 px), or grown."""
    kind = rng.random()
    sides = np.array([box_xyxy[2] - box_xyxy[0] + 1, box_xyxy[3] - box_xyxy[1] + 1])
    moved = box_xyxy.copy()
    if kind < 0.5:
        deviation = np.minimum(0.1 * sides, 20)
        moved += rng.normal(0, 1, 4) * np.tile(deviation, 2) * rng.random()
    elif kind < 0.75:
        grown = 0.5 * (np.sqrt(rng.uniform(1.0, 2.7)) - 1) * sides
        moved += np.concatenate([-grown, grown])
    limit = np.array([size_hw[1] - 1, size_hw[0] - 1] * 2)
    return np.clip(moved, 0, limit).astype(np.float32)
