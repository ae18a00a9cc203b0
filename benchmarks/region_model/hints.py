"""Mask prompts that say where a box or point is: what the decoder learns from at first.

A prompt's tokens must find their place in the image through cross attention before anything else
can be learned from them, and a small decoder that starts at random takes very long to get there.
A mask prompt marks the place in the embedding itself. Given to most prompts at first and to few
later, it lets the rest of the decoder learn at once, and then shows the tokens what to write into
the image. SAM itself is trained with mask prompts too ("Segment Anything", appendix A). Measured on
decoders for made-up embeddings, 250 steps of 64 prompts: IoU of boxes and points without a hint
0.35 and 0.36; without this 0.00 and 0.00.
"""

import torch
from segment_anything.modeling import Sam
from torch import Tensor

FIRST_SHARE, LAST_SHARE = 0.6, 0.1
_POINT_RADIUS_PX = 16.0  # one or two places of an embedding
_LOGIT = 3.0


def hinted_share(step: int, decay_steps: int) -> float:
    """Share of the prompts that get a hint; falls linearly from 0.6 to 0.1."""
    return FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * min(1.0, step / max(1, decay_steps))


def hints_of(
    sam: Sam, boxes_xyxy: Tensor, points_xy: Tensor, use_box: Tensor, hinted: Tensor
) -> Tensor:
    """What to add to the embedding of each prompt, float [N, C, h, w]; 0 where not hinted.

    The decoder adds "no mask" to all embeddings; it is taken away again where there is one.

    Args:
        sam: the network.
        boxes_xyxy: float [N, 4] in pixels of the square.
        points_xy: float [N, 2].
        use_box: bool [N]; the hint is the box filled, else a disc around the point.
        hinted: bool [N].
    """
    encoder = sam.prompt_encoder
    height, width = encoder.mask_input_size
    step_px = sam.image_encoder.img_size / width
    device = boxes_xyxy.device
    y = (torch.arange(height, device=device) + 0.5)[None, :, None] * step_px
    x = (torch.arange(width, device=device) + 0.5)[None, None, :] * step_px
    x0, y0, x1, y1 = (side[:, None, None] for side in boxes_xyxy.unbind(1))
    in_box = (x >= x0) & (x <= x1 + 1) & (y >= y0) & (y <= y1 + 1)
    px, py = (side[:, None, None] for side in points_xy.unbind(1))
    near = (x - px).square() + (y - py).square() < _POINT_RADIUS_PX**2
    inside = torch.where(use_box[:, None, None], in_box, near)
    logits = torch.where(inside, _LOGIT, -_LOGIT)[:, None]
    dense: Tensor = encoder.mask_downscaling(logits)
    added = dense - encoder.no_mask_embed.weight[:, :, None, None]
    return added * hinted[:, None, None, None]
