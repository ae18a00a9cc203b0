"""A card that is nearly full: less at once, and the same labels."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import pytest
import torch

from models.config import PipelineConfig, PredictConfig
from models.errors import RegionModelOutOfMemory
from models.pipeline import LabelPipeline
from models.prediction import Prediction, Predictor
from models.promptable.base import Masks, Prompts, ProposalConfig
from models.promptable.sam import SamRegionModel
from models.promptable.sam_architecture import SamArchitecture, build_sam
from models.rectification.config import RectifyConfig
from tests.gpu.device import CUDA_ALONE, DEVICE, MARKS, demo_model, scene

pytestmark = [*MARKS, CUDA_ALONE]

T = TypeVar("T")
SMALLEST_PIECE_BYTES = 1 << 21
# Wide enough that prompts, and not the image, decide how much memory is needed.
WIDE = SamArchitecture(
    encoder_dim=64,
    encoder_depth=1,
    encoder_heads=2,
    global_attention=(0,),
    image_px=512,
    decoder_mlp_dim=512,
)


def peak_bytes(step: Callable[[], T]) -> tuple[T, int]:
    """What `step` gives, and how much it allocates at most beside what is there."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(DEVICE)
    torch.cuda.reset_peak_memory_stats(DEVICE)
    found = step()
    return found, torch.cuda.max_memory_allocated(DEVICE) - before


@contextmanager
def nearly_full(left_bytes: int) -> Iterator[None]:
    """The card with so much left, what others hold on it not counted."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(DEVICE)
    filler: list[torch.Tensor] = []
    size, missing = 1 << 30, free - left_bytes
    while missing > 0 and size >= SMALLEST_PIECE_BYTES:
        try:
            filler.append(torch.empty(min(size, missing), dtype=torch.uint8, device=DEVICE))
            missing -= len(filler[-1])
        except torch.OutOfMemoryError:  # not all that is free can be had
            size //= 2
    try:
        yield
    finally:
        filler.clear()
        torch.cuda.empty_cache()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if "out of memory" in one.message]


def predicted(predictor: Predictor, images: list[np.ndarray]) -> list[Prediction]:
    found = dict(predictor.predict(images))
    return [found[place] for place in range(len(images))]


def test_a_smaller_batch_gives_the_same_labels(caplog):
    images = [scene(seed, size_hw=(512, 1024)).image for seed in range(8)]
    config = PredictConfig(batch_size=8, flip=True)
    model = demo_model(DEVICE)
    predicted(Predictor(model, config), images[:1])  # handles and workspaces
    usual, needed = peak_bytes(lambda: predicted(Predictor(model, config), images))
    with nearly_full(needed // 2), caplog.at_level(logging.WARNING):
        cramped = predicted(Predictor(model, config), images)
    print(f"predict needs {needed / 2**20:.0f} MiB; halved {len(messages(caplog))} times")
    assert messages(caplog)
    for one, other in zip(usual, cramped, strict=True):
        assert other.window_px == config.window_px
        assert (one.label == other.label).mean() >= 0.999
        assert np.abs(one.p_max - other.p_max).mean() <= 1e-3


def test_a_smaller_window_where_one_image_is_too_large(caplog):
    image = scene(0, size_hw=(1024, 1024)).image
    model = demo_model(DEVICE)
    predicted(Predictor(model, PredictConfig()), [image])
    (usual,), needed = peak_bytes(lambda: predicted(Predictor(model, PredictConfig()), [image]))
    with nearly_full(needed // 3), caplog.at_level(logging.WARNING):
        (cramped,) = predicted(Predictor(model, PredictConfig()), [image])
    print(f"an image needs {needed / 2**20:.0f} MiB; window {cramped.window_px} px")
    assert messages(caplog)
    assert cramped.window_px < 1024
    # A window sees less around it, so borders move.
    assert (usual.label == cramped.label).mean() >= 0.9


def test_a_rectifier_that_does_not_fit_answers_on_the_cpu(caplog):
    config = PipelineConfig(rectify=RectifyConfig())
    pipeline = LabelPipeline(demo_model(DEVICE), config)
    (seen,) = pipeline.look([scene(0, size_hw=(512, 1024)).image])
    usual = pipeline.rectify(seen)
    with nearly_full(0), caplog.at_level(logging.WARNING):
        cramped = pipeline.rectify(seen)
    assert messages(caplog)
    assert (usual.label == cramped.label).mean() >= 0.999
    assert np.abs(usual.p_max - cramped.p_max).mean() <= 1e-3


def test_fewer_prompts_at_once_give_the_same_masks(caplog):
    torch.manual_seed(0)
    model = SamRegionModel(build_sam(WIDE), WIDE, "random", DEVICE)
    embedding = model.encode(scene(0, size_hw=(384, 512)).image)
    config = ProposalConfig(
        "exact", 12, least_iou=-np.inf, least_stability=0.0, stability_offset=0.01
    )
    boxes = np.tile(np.array([[10, 20, 200, 180]], np.float32), (256, 1))
    boxes += np.arange(256, dtype=np.float32)[:, None]

    def ask() -> tuple[Masks, Masks]:
        return model.proposals(embedding, config), model.masks(embedding, Prompts(boxes))

    ask()
    usual, needed = peak_bytes(ask)
    with nearly_full(needed // 2), caplog.at_level(logging.WARNING):
        cramped = ask()
    print(f"prompts need {needed / 2**20:.0f} MiB; halved {len(messages(caplog))} times")
    assert messages(caplog)
    for one, other in zip(usual, cramped, strict=True):
        # Products of other shapes round differently: a mask may change by a pixel, or one that
        # stood on a limit.
        assert abs(len(one) - len(other)) <= 0.02 * len(one) + 1
    for one, other in zip(usual[1].areas_px, cramped[1].areas_px, strict=True):
        assert abs(int(one) - int(other)) <= 0.01 * max(one, 100)


def test_a_card_without_room_ends_in_a_clear_error():
    torch.manual_seed(0)
    model = SamRegionModel(build_sam(WIDE), WIDE, "random", DEVICE)
    image = scene(0, size_hw=(384, 512)).image
    embedding = model.encode(image)
    with nearly_full(0), pytest.raises(RegionModelOutOfMemory, match="smaller region model"):
        model.proposals(embedding, ProposalConfig("exact", 16))
    # What was too much is forgotten: the model works as before.
    features = model.encode(image).features
    assert features is not None
    assert torch.isfinite(features).all()
