"""SAMs of random weights, a few thousand parameters each."""

import numpy as np
import torch
from segment_anything.modeling import Sam

from models.promptable.base import RgbImage
from models.promptable.sam_architecture import SamArchitecture, build_sam

TINY = SamArchitecture(
    encoder_dim=32,
    encoder_depth=2,
    encoder_heads=2,
    global_attention=(1,),
    image_px=64,
    patch_px=8,
    window=4,
    mlp_ratio=2.0,
    prompt_dim=32,
    decoder_heads=2,
    decoder_mlp_dim=32,
    iou_hidden_dim=16,
)


def tiny_sam(seed: int = 0) -> Sam:
    """In evaluation mode; answers depend on the prompt as much as on the image."""
    torch.manual_seed(seed)
    sam = build_sam(TINY).eval()
    with torch.no_grad():
        for head in sam.mask_decoder.output_hypernetworks_mlps:
            # Random heads give logits near 0, where a mask is noise.
            head.layers[-1].weight.mul_(200)
            head.layers[-1].bias.mul_(20)
        sam.mask_decoder.iou_prediction_head.layers[-1].weight.mul_(8)
    return sam.requires_grad_(False)


def picture(seed: int, size_hw: tuple[int, int]) -> RgbImage:
    """Bright rectangles on a dark ground, with some noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (*size_hw, 3))
    for _ in range(6):
        y, x = (sorted(rng.integers(0, side + 1, 2)) for side in size_hw)
        image[y[0] : y[1], x[0] : x[1]] = rng.integers(60, 256, 3)
    return image.astype(np.uint8)
