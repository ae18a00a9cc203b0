"""SAMs of random weights, a few thousand parameters each."""

import numpy as np
import torch
from segment_anything.modeling import Sam

from models.promptable.base import RgbImage
from models.promptable.decoding import answer_prompts
from models.promptable.proposals import grid_xy
from models.promptable.sam import SamRegionModel
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
    """A network in evaluation mode that finds different regions, some of them around its prompts.

    Random decoders say the same of all pixels and all prompts. In this one the image attends to a
    prompt by its place, what the heads say of all pixels alike is replaced by a constant below
    the threshold, and logits are large.
    """
    torch.manual_seed(seed)
    sam = build_sam(TINY).eval().requires_grad_(False)
    decoder = sam.mask_decoder
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(0.7)
    for layer in decoder.transformer.layers:
        attention = layer.cross_attn_image_to_token
        torch.nn.init.orthogonal_(attention.q_proj.weight, gain=2.5)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
        attention.out_proj.weight.mul_(4)
    points = torch.from_numpy(grid_xy(8, (64, 64)).reshape(-1, 1, 2))
    sparse, _ = sam.prompt_encoder(points=(points, torch.ones(64, 1)), boxes=None, masks=None)
    image = torch.from_numpy(picture(seed, (64, 64))).permute(2, 0, 1)[None]
    embedding = sam.image_encoder(sam.preprocess(image))
    answers = answer_prompts(sam, embedding.expand(64, -1, -1, -1), sparse)
    upscaled = decoder.output_upscaling(answers.source.transpose(1, 2).reshape(64, -1, 8, 8))
    average = upscaled.mean((0, 2, 3))
    across = torch.eye(len(average)) - torch.outer(average, average) / average.square().sum()
    for index, head in enumerate(decoder.output_hypernetworks_mlps):
        last = head.layers[-1]
        last.weight.copy_(across @ last.weight)
        last.bias.copy_(across @ last.bias)
        weights = head(answers.tokens[:, index])
        scale = 4 / torch.einsum("nc,nchw->nhw", weights, upscaled).std()
        last.weight.mul_(scale)
        last.bias.copy_(last.bias * scale - 4 * average / average.square().sum())
    decoder.iou_prediction_head.layers[-1].weight.mul_(4)
    decoder.iou_prediction_head.layers[-1].bias.add_(0.7)
    return sam


def picture(seed: int, size_hw: tuple[int, int]) -> RgbImage:
    """Bright rectangles on a dark ground, with some noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (*size_hw, 3))
    for _ in range(6):
        y, x = (sorted(rng.integers(0, side + 1, 2)) for side in size_hw)
        image[y[0] : y[1], x[0] : x[1]] = rng.integers(60, 256, 3)
    return image.astype(np.uint8)


def tiny_model(seed: int = 0) -> SamRegionModel:
    """A tiny SAM as a region model on the CPU."""
    return SamRegionModel(tiny_sam(seed), TINY, "0" * 64, "cpu")
