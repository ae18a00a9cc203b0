"""SAM's decoder for many prompts of one image: the same values as the package's, for less work.

Two things make it cheap. Before the first layer has run, the image is the same for all prompts, so
one matrix product serves them all. And a prompt has a handful of tokens where the image has
thousands of places: the projections that the package applies to every place are applied to the
tokens instead, (x Wk) · q = x · (q Wk'), and a mean of projected places is the projected mean.
"""

import math
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F

from models.promptable.decoding import Answers


def answer_prompts_of_image(sam: Sam, embedding: Tensor, sparse: Tensor) -> Answers:
    """What `answer_prompts` says, to rounding, where all prompts are of one image.

    Args:
        sam: the network.
        embedding: float [C, h, w].
        sparse: float [N, T, C], embedded points and boxes.
    """
    decoder, prompts = sam.mask_decoder, sam.prompt_encoder
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    image = embedding.flatten(1).T + prompts.no_mask_embed.weight
    position = prompts.get_dense_pe()[0].flatten(1).T
    states, source = _two_way(decoder.transformer, image, position, tokens)
    return Answers(
        iou=decoder.iou_prediction_head(states[:, 0]),
        tokens=states[:, 1 : 1 + decoder.num_mask_tokens],
        source=source,
        grid_hw=(embedding.shape[1], embedding.shape[2]),
    )


def chosen_masks(sam: Sam, answers: Answers, prompts: Tensor, masks: Tensor) -> Tensor:
    """What `some_masks` says, to rounding: logits of chosen masks, float [M, 4h, 4w].

    Channels stay last until the masks are known, so that every step is one matrix product.

    Args:
        sam: the network.
        answers: of `answer_prompts_of_image`.
        prompts: int64 [M], rising: which prompt.
        masks: int64 [M]: which of its four masks.
    """
    needed, place = torch.unique_consecutive(prompts, return_inverse=True)
    first, norm, _, second, _ = sam.mask_decoder.output_upscaling
    x = _spread(first, answers.source[needed])
    x = F.gelu(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
    x = F.gelu(_spread(second, x)).flatten(1, 3)
    heads = sam.mask_decoder.output_hypernetworks_mlps
    tokens = answers.tokens[needed]
    weights = torch.stack([head(tokens[:, i]) for i, head in enumerate(heads)], dim=1)
    logits = (weights @ x.transpose(1, 2))[place, masks]
    height, width = answers.grid_hw
    # Two 2 x 2 blocks, one in the other: rows y, ky, ly and columns x, kx, lx.
    blocks = logits.view(-1, height, width, 2, 2, 2, 2)
    return blocks.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 4 * height, 4 * width)


def _spread(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """A 2 x 2 transposed convolution of stride 2 without the rearrangement: [..., C] to 4 x D."""
    weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
    bias = layer.bias
    assert bias is not None
    spread = F.linear(x, weight.T, bias.repeat(4))
    return spread.reshape(*x.shape[:-1], 4, -1)


def _two_way(
    transformer: Any, image: Tensor, position: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """`TwoWayTransformer.forward`: image and position [P, C], tokens [N, T, C]."""
    queries, keys = tokens, image
    for layer in transformer.layers:
        placed = keys + position
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            asked = queries + tokens
            queries = queries + layer.self_attn(q=asked, k=asked, v=queries)
        queries = layer.norm1(queries)
        looked = _look_at_image(layer.cross_attn_token_to_image, queries + tokens, placed, keys)
        queries = layer.norm2(queries + looked)
        queries = layer.norm3(queries + layer.mlp(queries))
        told = _tell_image(layer.cross_attn_image_to_token, placed, queries + tokens, queries)
        keys = layer.norm4(told.add_(keys))
    final = transformer.final_attn_token_to_image
    looked = _look_at_image(final, queries + tokens, keys + position, keys)
    return transformer.norm_final_attn(queries + looked), keys


def _look_at_image(attention: Any, queries: Tensor, placed: Tensor, keys: Tensor) -> Tensor:
    """Tokens attend to the image; placed and keys [P, C] or [N, P, C]."""
    heads, count = attention.num_heads, queries.shape[1]
    q = attention.q_proj(queries).unflatten(2, (heads, -1))
    # The bias of the keys adds the same to all scores of a query, so the softmax does not see it.
    by_head = attention.k_proj.weight.unflatten(0, (heads, -1))
    asked = torch.einsum("nthd,hdc->nhtc", q, by_head).flatten(1, 2) / math.sqrt(q.shape[-1])
    shares = (asked @ placed.transpose(-1, -2)).softmax(-1)
    seen = shares @ keys
    seen = seen.reshape(len(seen), heads, count, -1)
    by_head = attention.v_proj.weight.unflatten(0, (heads, -1))
    values = torch.einsum("nhtc,hdc->nthd", seen, by_head).flatten(2) + attention.v_proj.bias
    told: Tensor = attention.out_proj(values)
    return told


def _tell_image(attention: Any, placed: Tensor, tokens: Tensor, values: Tensor) -> Tensor:
    """The image attends to tokens; placed [P, C] or [N, P, C]; a new tensor [N, P, C]."""
    heads, count = attention.num_heads, tokens.shape[1]
    k = attention.k_proj(tokens).unflatten(2, (heads, -1)) / math.sqrt(
        attention.internal_dim // heads
    )
    by_head = attention.q_proj.weight.unflatten(0, (heads, -1))
    asked = torch.einsum("nthd,hdc->nhtc", k, by_head).flatten(1, 2)
    constant = torch.einsum("nthd,hd->nht", k, attention.q_proj.bias.unflatten(0, (heads, -1)))
    # Scores lie as [N, head, token, place]: the softmax over tokens then runs along memory.
    scores = asked @ placed.transpose(-1, -2)
    scores = scores.reshape(len(scores), heads, count, -1)
    shares = scores.add_(constant[..., None]).softmax(2).flatten(1, 2)
    v = attention.v_proj(values).unflatten(2, (heads, -1))
    by_head = attention.out_proj.weight.unflatten(1, (heads, -1))
    told = torch.einsum("nthd,chd->nhtc", v, by_head).flatten(1, 2)
    out: Tensor = shares.transpose(1, 2) @ told
    return out.add_(attention.out_proj.bias)
