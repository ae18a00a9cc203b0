"""Initial weights with which a small mask decoder learns where a point is.

In a decoder that starts at random a point's token attends to all places alike: queries and keys are
projected differently, so that the likeness of their position encodings is lost, and small networks
take thousands of steps to find it. With the same orthogonal projection for both, a token attends to
the places around its point from the first step on. Measured on points in random cells, 165 steps:
IoU 0.00 without, 0.31 with.
"""

import torch
from segment_anything.modeling import Sam
from torch import nn

_SCALE = 2.0
"""Of the projections; with position encodings of 64 channels the focus is some patches wide."""


def focus_cross_attention(sam: Sam) -> None:
    """Make each cross attention of the mask decoder attend to where positions agree, in place."""
    transformer = sam.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in attentions:
            nn.init.orthogonal_(attention.q_proj.weight, gain=_SCALE)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
