import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.torchvision_operators import ensure_torchvision_operators, greedy_nms


def keep_one_by_one(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """The definition: by falling score, a box stays if it overlaps none that has stayed."""
    kept: list[int] = []
    for place in sorted(range(len(boxes)), key=lambda n: (-scores[n], n)):
        x0, y0, x1, y1 = boxes[place]
        for other in kept:
            left, top, right, bottom = boxes[other]
            width = min(x1, right) - max(x0, left)
            height = min(y1, bottom) - max(y0, top)
            shared = max(width, 0) * max(height, 0)
            both = (x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - shared
            if shared > iou_threshold * both:
                break
        else:
            kept.append(place)
    return kept


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [1, 2, 60])
def test_nms_is_its_definition(count, iou_threshold):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        corners = torch.randint(0, 30, (count, 2), generator=generator)
        sides = torch.randint(0, 15, (count, 2), generator=generator)
        boxes = torch.cat([corners, corners + sides], dim=1).float()
        # Few different scores: many are equal.
        scores = torch.randint(0, 10, (count,), generator=generator).float()
        kept = greedy_nms(boxes, scores, iou_threshold)
        assert kept.dtype == torch.int64
        assert kept.tolist() == keep_one_by_one(boxes.tolist(), scores.tolist(), iou_threshold)


def test_no_boxes():
    assert greedy_nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_boxes_without_area_stay():
    boxes = torch.tensor([[3.0, 3, 3, 9], [3, 3, 3, 9]])
    assert greedy_nms(boxes, torch.tensor([1.0, 2]), 0.5).tolist() == [1, 0]


def test_asking_twice_changes_nothing():
    assert ensure_torchvision_operators() == ensure_torchvision_operators()


def test_torchvision_and_what_needs_it_can_be_imported():
    code = (
        "from models.torchvision_operators import ensure_torchvision_operators as ensure; ensure();"
        "import torch, torchvision.ops as ops, transformers, segment_anything;"
        "transformers.SegformerForSemanticSegmentation;"
        "boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4], [9, 9, 12, 12]]);"
        "scores = torch.tensor([1., 2, 3]);"
        "assert ops.nms(boxes, scores, 0.5).tolist() == [2, 1];"
        "assert ops.batched_nms(boxes, scores, torch.zeros(3), 0.5).tolist() == [2, 1]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
