"""Losses of the region model, after section A of the appendix of "Segment Anything"."""

import torch
from torch import Tensor
from torch.nn import functional as F

CROSS_ENTROPY_WEIGHT = 2.0
OTHERS_SHARE = 0.3
"""How much of the loss of an ambiguous prompt is the mean of its three masks, not their best."""


def mask_losses(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Twice the cross entropy plus the dice loss of each mask, float [N, M].

    Cross entropy in place of SAM's focal loss, whose gradient is small while all masks are empty;
    what it brings by itself was not measured. Targets are shares of a place, not only 0
    and 1: masks of less than the image's resolution then learn where inside a place the edge runs.

    Args:
        logits: float [N, M, h, w].
        targets: float [N, h, w] in [0, 1].
        valid: float [N, h, w], weight of each place.
    """
    targets, valid = targets[:, None], valid[:, None]
    cross_entropy = ((F.softplus(logits) - logits * targets) * valid).sum((2, 3))
    cross_entropy = cross_entropy / valid.sum((2, 3)).clamp(min=1)
    p, t = torch.sigmoid(logits) * valid, targets * valid
    dice = 1 - (2 * (p * t).sum((2, 3)) + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)
    return CROSS_ENTROPY_WEIGHT * cross_entropy + dice


def mask_iou(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """IoU of each thresholded mask with its target, float [N, M]; arguments as `mask_losses`."""
    inside = (targets[:, None] > 0.5) & (valid[:, None] > 0.5)
    found = (logits > 0) & (valid[:, None] > 0.5)
    union = (found | inside).sum((2, 3)).clamp(min=1)
    return (found & inside).sum((2, 3)) / union


def prompt_loss(
    masks: Tensor, iou: Tensor, targets: Tensor, valid: Tensor, ambiguous: Tensor
) -> Tensor:
    """Loss of a batch of prompts, a scalar.

    The first mask answers the prompt alone; of the other three mostly the best one is trained, so
    that they may disagree about what a single point means. With nothing but the best (as SAM does)
    small networks leave two of three masks far off, and then choose one of these: after 31,000
    images the own choice was 4 points of IoU worse than the first mask. All four IoUs are trained.

    Args:
        masks: logits, float [N, 4, h, w].
        iou: the model's own estimate for each, float [N, 4].
        targets, valid: as in `mask_losses`.
        ambiguous: bool [N], prompts that the other three masks learn from: those of one point. A
            box is nearly never ambiguous, and easy ones would crowd out what is to be learnt.
    """
    losses = mask_losses(masks, targets, valid)
    with torch.no_grad():
        true_iou = mask_iou(masks, targets, valid)
    three = losses[:, 1:]
    answers = (1 - OTHERS_SHARE) * three.min(1).values + OTHERS_SHARE * three.mean(1)
    answer = losses[:, 0].mean() + (answers * ambiguous).sum() / ambiguous.sum().clamp(min=1)
    return answer + F.mse_loss(iou, true_iou)


def affinity_loss(embedding: Tensor, segments: Tensor, generator: torch.Generator) -> Tensor:
    """Pairs of places of one segment should look alike, pairs of two segments should not.

    A help for the encoder in short trainings, dropped with its projection afterwards.

    Args:
        embedding: float [B, C, h, w].
        segments: int64 [B, h, w], 0 for places to leave out.
        generator: draws the places.
    """
    places = torch.randint(segments[0].numel(), (256,), generator=generator).to(embedding.device)
    z = F.normalize(embedding.flatten(2)[:, :, places].float(), dim=1)
    numbers = segments.flatten(1)[:, places]
    same = (numbers[:, :, None] == numbers[:, None, :]).float()
    known = ((numbers[:, :, None] > 0) & (numbers[:, None, :] > 0)).float()
    logits = 8.0 * torch.einsum("bcp,bcq->bpq", z, z) - 4.0
    # Most pairs are of two segments: weigh both kinds alike.
    losses = F.binary_cross_entropy_with_logits(logits, same, reduction="none") * known
    alike = (losses * same).sum() / (same * known).sum().clamp(min=1)
    apart = (losses * (1 - same)).sum() / ((1 - same) * known).sum().clamp(min=1)
    return alike + apart
