import pytest
import torch

from benchmarks.region_model.hints import hinted_share, hints_of
from tests.benchmarks.region_model.tiny import random_sam


@pytest.mark.parametrize(("step", "share"), [(0, 0.6), (50, 0.35), (100, 0.1), (5000, 0.1)])
def test_share_falls_and_then_stays(step, share):
    assert hinted_share(step, 100) == pytest.approx(share)


def test_hint_is_the_mask_prompt_of_a_filled_box_in_place_of_no_mask():
    sam = random_sam()
    side = sam.image_encoder.img_size
    boxes = torch.tensor([[0.0, 0.0, side / 2 - 1, side - 1.0]] * 2)
    points = torch.tensor([[side / 2, side / 2]] * 2)
    with torch.no_grad():
        hints = hints_of(sam, boxes, points, torch.tensor([True] * 2), torch.tensor([True, False]))
        height, width = sam.prompt_encoder.mask_input_size
        mask = torch.full((1, 1, height, width), -3.0)
        mask[..., : width // 2] = 3.0
        expected = sam.prompt_encoder(points=None, boxes=None, masks=mask)[1][0]
        no_mask = sam.prompt_encoder.no_mask_embed.weight[0][:, None, None]
    torch.testing.assert_close(hints[0] + no_mask, expected)
    assert not hints[1].any()


def test_hint_of_a_point_lies_around_it():
    sam = random_sam()
    side = float(sam.image_encoder.img_size)
    boxes = torch.tensor([[0.0, 0.0, side, side]] * 2)
    points = torch.tensor([[0.0, 0.0], [side, side]])
    with torch.no_grad():
        far, near = hints_of(sam, boxes, points, torch.zeros(2).bool(), torch.ones(2).bool())
    assert not torch.equal(far, near)
    torch.testing.assert_close(far[:, 0, 0], near[:, -1, -1], atol=1e-1, rtol=1e-1)
