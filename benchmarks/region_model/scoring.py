"""How well a SAM finds every segment of an image from one box, or from one point inside.

All is measured where the network works: image and labels are scaled so that the longest side is
the network's (256 px for the nano SAM), segments are formed there, and masks are compared there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from benchmarks.region_model.samples import Source, box_of
from benchmarks.region_model.segments import segments_of
from models.promptable.decoding import Answers, all_masks, answer_prompts

LEAST_AREA_PX = 200
THIN_PX = 6.0
AREA_EDGES_PX = (LEAST_AREA_PX, 500, 2000, 8000)
_PROMPTS_AT_ONCE = 32

BoolMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ObjectScore:
    """What became of one segment.

    Attributes:
        area_px: pixels of the segment.
        thickness_px: twice the largest distance of its pixels to the outside.
        thing: whether it is an instance of a thing, and not a component of stuff.
        box_iou: IoU of the answer to its tight box (the mask without ambiguity).
        box_estimate: what the network believes that IoU to be.
        point_iou: IoU of the answer to one point inside: of the three masks, the one that the
            network believes in most.
        point_estimate: what it believes that IoU to be.
        best_of_three_iou: IoU of the best of the three, had anybody told the network.
    """

    area_px: int
    thickness_px: float
    thing: bool
    box_iou: float
    box_estimate: float
    point_iou: float
    point_estimate: float
    best_of_three_iou: float


@torch.inference_mode()
def score_image(sam: Sam, source: Source, rng: np.random.Generator) -> list[ObjectScore]:
    """Scores of all segments of at least 200 pixels.

    Args:
        sam: the network in evaluation mode.
        source: image uint8 (H, W, 3), label uint8 (H, W) and instances (H, W) or None.
        rng: draws the points, one per segment in the order of their numbers.
    """
    image, label, instances = source
    pixels = ResizeLongestSide(sam.image_encoder.img_size).apply_image(image)
    size_hw = pixels.shape[:2]
    instances = None if instances is None else _sampled(instances, size_hw)
    segments = segments_of(_sampled(label, size_hw), instances)
    areas_px = np.bincount(segments.ravel())
    numbers = [n for n in np.flatnonzero(areas_px >= LEAST_AREA_PX) if n > 0]
    if not numbers:
        return []
    targets = np.stack([segments == number for number in numbers])
    points = np.stack([_inner_point(target, rng) for target in targets])
    boxes = np.stack([box_of(target) for target in targets])
    chw = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()
    features = sam.image_encoder(sam.preprocess(chw))
    by_box, box_estimates = _ious(sam, features, _box_tokens(sam, boxes), targets)
    by_point, point_estimates = _ious(sam, features, _point_tokens(sam, points), targets)
    chosen = 1 + point_estimates[:, 1:].argmax(1)
    return [
        ObjectScore(
            area_px=int(target.sum()),
            thickness_px=thickness_px(target),
            thing=instances is not None and bool(instances[target].any()),
            box_iou=float(by_box[i, 0]),
            box_estimate=float(box_estimates[i, 0]),
            point_iou=float(by_point[i, chosen[i]]),
            point_estimate=float(point_estimates[i, chosen[i]]),
            best_of_three_iou=float(by_point[i, 1:].max()),
        )
        for i, target in enumerate(targets)
    ]


def thickness_px(mask: BoolMask) -> float:
    """Twice the largest distance of a pixel of the mask to the outside; the image ends there."""
    # The transform does not see the image's border: without a frame a strip along it is endless.
    framed = np.pad(mask.astype(np.uint8), 1)
    return 2.0 * float(cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())


def summarise(scores: Sequence[ObjectScore]) -> dict[str, float | int | None]:
    """Means over objects, None without any; the errors are of the network's own estimates."""

    def mean(values: Iterable[float]) -> float | None:
        return round(float(np.mean(list(values))), 4) if scores else None

    return {
        "objects": len(scores),
        "box_iou": mean(s.box_iou for s in scores),
        "point_iou": mean(s.point_iou for s in scores),
        "best_of_three_iou": mean(s.best_of_three_iou for s in scores),
        "box_estimate_error": mean(abs(s.box_estimate - s.box_iou) for s in scores),
        "point_estimate_error": mean(abs(s.point_estimate - s.point_iou) for s in scores),
        "point_estimate_bias": mean(s.point_estimate - s.point_iou for s in scores),
    }


def table_of(scores: dict[str, list[ObjectScore]]) -> dict[str, dict[str, Any]]:
    """Summaries of all objects and of parts of them.

    Args:
        scores: by style.

    Returns:
        Rows by name: all, each style, each range of areas, thin and thick, things and stuff.
    """
    everything = [score for part in scores.values() for score in part]
    rows = {"all": everything, **scores}
    for low, high in zip(AREA_EDGES_PX, (*AREA_EDGES_PX[1:], None), strict=True):
        name = f"from {low} px" if high is None else f"{low}-{high} px"
        rows[name] = [s for s in everything if low <= s.area_px and (not high or s.area_px < high)]
    kinds: dict[str, Callable[[ObjectScore], bool]] = {
        f"thin (up to {THIN_PX:g} px)": lambda s: s.thickness_px <= THIN_PX,
        "thicker": lambda s: s.thickness_px > THIN_PX,
        "things": lambda s: s.thing,
        "stuff": lambda s: not s.thing,
    }
    rows.update({name: [s for s in everything if is_of(s)] for name, is_of in kinds.items()})
    return {name: summarise(part) for name, part in rows.items()}


def _sampled(values: npt.NDArray, size_hw: tuple[int, ...]) -> npt.NDArray:
    """The values at the centres of the pixels of another size, by row and column."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for old, new in zip(values.shape, size_hw, strict=True)
    )
    return values[rows[:, None], columns]


def _inner_point(mask: BoolMask, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    y, x = np.divmod(rng.choice(np.flatnonzero(mask)), mask.shape[1])
    return np.array([x, y], np.float32)


def _box_tokens(sam: Sam, boxes_xyxy: npt.NDArray[np.float32]) -> Tensor:
    boxes = torch.from_numpy(boxes_xyxy)
    tokens: Tensor = sam.prompt_encoder(points=None, boxes=boxes, masks=None)[0]
    return tokens


def _point_tokens(sam: Sam, points_xy: npt.NDArray[np.float32]) -> Tensor:
    points = torch.from_numpy(points_xy)[:, None]
    inside = torch.ones(len(points), 1)
    tokens: Tensor = sam.prompt_encoder(points=(points, inside), boxes=None, masks=None)[0]
    return tokens


def _ious(
    sam: Sam, features: Tensor, tokens: Tensor, targets: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """True and estimated IoU of the four masks of each prompt with its target, float32 (N, 4)."""
    true, estimated = [], []
    for first in range(0, len(tokens), _PROMPTS_AT_ONCE):
        part = slice(first, first + _PROMPTS_AT_ONCE)
        answers = answer_prompts(sam, features.expand(len(tokens[part]), -1, -1, -1), tokens[part])
        true.append(_true_iou(sam, answers, torch.from_numpy(targets[part])))
        estimated.append(answers.iou)
    return torch.cat(true).numpy(), torch.cat(estimated).numpy()


def _true_iou(sam: Sam, answers: Answers, targets: Tensor) -> Tensor:
    size_hw = tuple(targets.shape[-2:])
    logits = sam.postprocess_masks(all_masks(sam, answers), size_hw, size_hw)
    found, targets = logits > sam.mask_threshold, targets[:, None]
    shared = (found & targets).sum((2, 3))
    return shared / (found | targets).sum((2, 3))
