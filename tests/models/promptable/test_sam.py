from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from models.errors import ModelOutputInvalid
from models.promptable.base import Embedding, Prompts
from models.promptable.sam import SamRegionModel
from models.promptable.settling import MaskList
from tests.models.promptable.tiny import TINY, picture, tiny_model, tiny_sam

SIZES_HW = [(64, 64), (97, 130), (33, 21), (5, 90)]


def prompts_of(kind: str, count: int, size_hw: tuple[int, int]) -> Prompts:
    """Random boxes and points; of three points of a prompt, up to three are not given."""
    rng = np.random.default_rng(count)
    far = np.array([size_hw[1], size_hw[0]]) - 1
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1) * far
    points = rng.uniform(0, 1, (count, 3, 2)) * far
    labels = rng.integers(0, 2, (count, 3))
    labels[np.arange(3) >= (np.arange(count) % 4)[:, None]] = -1
    if kind == "points":
        labels[:, 0] = 1
    return Prompts(
        boxes_xyxy=corners.reshape(-1, 4).astype(np.float32) if "boxes" in kind else None,
        points_xy=points.astype(np.float32) if "points" in kind else None,
        point_labels=labels if "points" in kind else None,
    )


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("kind", ["boxes", "points", "boxes and points"])
def test_masks_are_those_of_the_package(kind, size_hw):
    sam = tiny_sam()
    image = picture(1, size_hw)
    theirs = SamPredictor(sam)
    theirs.set_image(image)
    ours = SamRegionModel(sam, TINY, "digest", "cpu")
    embedding = ours.encode(image)
    torch.testing.assert_close(embedding.features, theirs.features[0], atol=0, rtol=0)
    prompts = prompts_of(kind, 9, size_hw)
    masks = ours.masks(embedding, prompts)
    assert len(masks) == len(prompts) == 9
    for n, rle in enumerate(masks.rles):
        box = points = labels = None
        if prompts.boxes_xyxy is not None:
            box = prompts.boxes_xyxy[n]
        if prompts.points_xy is not None and prompts.point_labels is not None:
            given = prompts.point_labels[n] >= 0
            points, labels = prompts.points_xy[n][given], prompts.point_labels[n][given]
        if points is not None and box is not None and len(points) == 0:
            points = labels = None
        mask, iou, _ = theirs.predict(points, labels, box, multimask_output=False)
        difference = np.count_nonzero(rle.decode() != mask[0])
        assert difference <= 0.001 * max(1, int(np.count_nonzero(mask[0])))
        assert masks.iou[n] == pytest.approx(iou[0], abs=1e-5)
        assert masks.areas_px[n] == rle.area_px
        assert tuple(masks.boxes_xyxy[n]) == rle.box_xyxy()
    assert (masks.stability == 1).all()
    assert np.isnan(masks.points_xy).all()


def test_the_embedding_says_what_it_covers():
    model = tiny_model()
    image = picture(0, (50, 100))
    embedding = model.encode(image)
    assert embedding.size_hw == (50, 100)
    features = embedding.features
    assert features is not None
    assert tuple(features.shape) == (32, 8, 8)
    assert features.dtype == torch.float32
    assert tuple(embedding.covers_hw_px) == (100, 100)
    assert embedding.image is image


def test_no_prompts_no_masks():
    model = tiny_model()
    embedding = model.encode(picture(0, (20, 30)))
    nothing = Prompts(boxes_xyxy=np.zeros((0, 4), np.float32))
    masks = model.masks(embedding, nothing)
    assert len(masks) == 0
    assert masks.boxes_xyxy.shape == (0, 4)


def test_the_order_of_prompts_does_not_matter():
    model = tiny_model()
    embedding = model.encode(picture(0, (40, 60)))
    prompts: Any = prompts_of("boxes and points", 30, (40, 60))
    order = np.random.default_rng(0).permutation(30)
    moved = Prompts(
        prompts.boxes_xyxy[order], prompts.points_xy[order], prompts.point_labels[order]
    )
    straight, mixed = model.masks(embedding, prompts), model.masks(embedding, moved)
    np.testing.assert_allclose(mixed.iou, straight.iou[order], atol=1e-5)
    for place, rle in zip(order, mixed.rles, strict=True):
        assert np.count_nonzero(rle.decode() != straight.rles[place].decode()) <= 2


def test_a_network_with_nan_gives_no_embedding():
    sam = tiny_sam()
    sam.image_encoder.neck[0].weight[0, 0] = torch.nan
    with pytest.raises(ModelOutputInvalid, match="not finite"):
        SamRegionModel(sam, TINY, "digest", "cpu").encode(picture(0, (20, 30)))


@pytest.mark.parametrize(
    "features",
    [None, torch.zeros(32, 8, 9), torch.zeros(16, 8, 8), torch.full((32, 8, 8), torch.inf)],
)
def test_foreign_and_infinite_embeddings_are_refused(features):
    embedding = Embedding((20, 30), features, (30, 30))
    with pytest.raises(ModelOutputInvalid):
        tiny_model().masks(embedding, Prompts(boxes_xyxy=np.zeros((1, 4), np.float32)))


def test_full_size_masks_are_made_a_few_at_a_time(monkeypatch):
    model = tiny_model()
    embedding = model.encode(picture(0, (60, 90)))
    alive: list[int] = []
    squares = MaskList.squares

    def counted(self, low):
        alive.append(len(low))
        return squares(self, low)

    monkeypatch.setattr(MaskList, "squares", counted)
    masks = model.masks(embedding, prompts_of("boxes", 700, (60, 90)))
    assert len(masks) == sum(alive) == 700
    assert max(alive) <= 256
