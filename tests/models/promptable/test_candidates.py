import numpy as np
import pytest
import torch

from models.promptable.base import ProposalConfig
from models.promptable.candidates import Answered, Candidates
from models.promptable.frame import Columns, Frame
from models.torchvision_operators import greedy_nms

FRAME = Frame((500, 1000), 256, 128)


def discs(centres_xy, radii) -> torch.Tensor:
    """Logits [M, 128, 128]: by how much a pixel lies inside a disc."""
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    return torch.stack(
        [
            r - ((x - cx) ** 2 + (y - cy) ** 2).sqrt()
            for (cx, cy), r in zip(centres_xy, radii, strict=True)
        ]
    )


def jittered_discs(seed: int) -> Answered:
    """Twenty each of nearly the same three discs, one at the image's edge."""
    rng = np.random.default_rng(seed)
    centres = np.repeat([(30.0, 30), (80, 40), (100, 0)], 20, axis=0) + rng.uniform(-1, 1, (60, 2))
    radii = np.repeat([14.0, 18, 25], 20) + rng.uniform(-1, 1, 60)
    return Answered(
        discs(centres, radii),
        torch.from_numpy(rng.uniform(0.9, 1, 60)),
        torch.ones(60),
        centres,
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_is_what_plain_suppression_keeps(seed):
    config = ProposalConfig(mode="exact", least_stability=0.0, nms_iou=0.8)
    batch = jittered_discs(seed)
    candidates = Candidates(FRAME, config)
    candidates.take(batch)
    masks = candidates.without_duplicates()
    boxes = [Columns.of_mask(s, FRAME, 0.0).rle(0.0).box_xyxy() for s in FRAME.in_square(batch.low)]
    inclusive = torch.tensor(boxes).float() - torch.tensor([0, 0, 1, 1])
    kept = greedy_nms(inclusive, batch.iou, 0.8).numpy()
    np.testing.assert_array_equal(masks.boxes_xyxy, np.array(boxes)[kept])
    np.testing.assert_allclose(masks.points_xy, batch.points_xy[kept], rtol=1e-6)


def test_clear_duplicates_are_never_laid_out(monkeypatch):
    laid_out: list[int] = []
    plain = Columns.of_mask

    def counted(*given):
        laid_out.append(1)
        return plain(*given)

    monkeypatch.setattr(Columns, "of_mask", counted)
    candidates = Candidates(FRAME, ProposalConfig(mode="exact", least_stability=0.5, nms_iou=0.6))
    candidates.take(jittered_discs(0))
    assert len(candidates.without_duplicates()) == 3
    assert len(laid_out) <= 6


def test_unstable_masks_neither_stay_nor_suppress():
    # Logits of half the slope: the surer mask loses too much between the two thresholds.
    low = discs([(40, 40), (40, 40)], [10, 10])
    low[0] /= 4
    batch = Answered(low, torch.tensor([0.99, 0.9]), torch.ones(2), np.array([[1.0, 2], [3, 4]]))
    candidates = Candidates(FRAME, ProposalConfig(mode="exact", least_stability=0.6))
    candidates.take(batch)
    masks = candidates.without_duplicates()
    np.testing.assert_array_equal(masks.points_xy, [[3, 4]])
    # Of a disc of radius 10 the thresholds of 1 leave those of radius 9 and 11.
    assert masks.stability[0] == pytest.approx(81 / 121, abs=0.01)
