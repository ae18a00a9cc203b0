"""SAM's mask decoder in two halves: cheap answers first, masks only for those worth it.

`segment_anything`'s decoder upscales all four masks of every prompt before anybody has looked at
the IoU that it estimates for them. The transformer's tokens already hold that estimate, so the
second half here runs for survivors alone. Same weights, same values.
"""

from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """What the decoder's transformer says about N prompts, before any mask exists.

    Attributes:
        iou: float [N, 4], the estimated IoU of each mask; mask 0 answers without ambiguity.
        tokens: float [N, 4, C], from which the weights of each mask are computed.
        source: float [N, h * w, C], the image as the prompts have changed it.
        grid_hw: h, w of the embedding.
    """

    iou: Tensor
    tokens: Tensor
    source: Tensor
    grid_hw: tuple[int, int]


def answer_prompts(sam: Sam, embeddings: Tensor, sparse: Tensor) -> Answers:
    """Runs the transformer of the mask decoder over prompts.

    Args:
        sam: the network.
        embeddings: float [N, C, h, w], the embedding of each prompt's image; a view is fine.
        sparse: float [N, T, C], embedded points and boxes.
    """
    decoder, prompts = sam.mask_decoder, sam.prompt_encoder
    count, channels, height, width = embeddings.shape
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
    no_mask = prompts.no_mask_embed.weight.reshape(1, channels, 1, 1)
    position = prompts.get_dense_pe().expand(count, -1, -1, -1)
    states, source = decoder.transformer(embeddings + no_mask, position, tokens)
    return Answers(
        iou=decoder.iou_prediction_head(states[:, 0]),
        tokens=states[:, 1 : 1 + decoder.num_mask_tokens],
        source=source,
        grid_hw=(height, width),
    )


def all_masks(sam: Sam, answers: Answers) -> Tensor:
    """Logits of the four masks of every prompt, float [N, 4, 4h, 4w]."""
    heads = sam.mask_decoder.output_hypernetworks_mlps
    weights = torch.stack([head(answers.tokens[:, i]) for i, head in enumerate(heads)], dim=1)
    upscaled = _upscaled(sam, answers.source, answers.grid_hw)
    masks: Tensor = weights @ upscaled.flatten(2)
    return masks.reshape(*masks.shape[:2], *upscaled.shape[2:])


def some_masks(sam: Sam, answers: Answers, prompts: Tensor, masks: Tensor) -> Tensor:
    """Logits of chosen masks, float [M, 4h, 4w].

    Args:
        sam: the network.
        answers: of `answer_prompts`.
        prompts: int64 [M], rising: which prompt.
        masks: int64 [M]: which of its four masks.
    """
    needed, place = torch.unique_consecutive(prompts, return_inverse=True)
    upscaled = _upscaled(sam, answers.source[needed], answers.grid_hw)
    weights = upscaled.new_empty(len(prompts), upscaled.shape[1])
    for index, head in enumerate(sam.mask_decoder.output_hypernetworks_mlps):
        chosen = masks == index
        if chosen.any():
            weights[chosen] = head(answers.tokens[prompts[chosen], index])
    out = torch.einsum("mc,mcp->mp", weights, upscaled.flatten(2)[place])
    return out.reshape(-1, *upscaled.shape[2:])


def _upscaled(sam: Sam, source: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    image = source.transpose(1, 2).reshape(len(source), -1, *grid_hw)
    upscaled: Tensor = sam.mask_decoder.output_upscaling(image)
    return upscaled
