"""What the style module learns from: adversarial, patchwise, and by the prototypes.

CUT's losses as CONFETI's public code uses them, with least squares for the discriminator (Mao et
al., "Least Squares Generative Adversarial Networks", ICCV 2017), and CONFETI's prototypical
semantic consistency.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

_DIAGONAL: Final = -10.0


def discriminator_loss(scores_made: Tensor, scores_target: Tensor) -> Tensor:
    """1/2 (mean D(made)^2 + mean (D(target) - 1)^2), a scalar."""
    return 0.5 * (scores_made.square().mean() + (scores_target - 1).square().mean())


def generator_loss(scores_made: Tensor) -> Tensor:
    """mean (D(made) - 1)^2, a scalar."""
    return (scores_made - 1).square().mean()


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """Each patch must find itself among the patches of its image, a scalar.

    -log softmax at the key of the same place; the other places of the *same* image are negatives.
    Keys get no gradient. log P where all patches are alike.

    Args:
        queries: of the translated image, of length 1, float [B, P, d].
        keys: of the image before, of length 1, float [B, P, d].
        temperature: tau.
    """
    keys = keys.detach()
    own = (queries * keys).sum(2, keepdim=True)
    others = queries @ keys.transpose(1, 2)
    same = torch.eye(queries.shape[1], dtype=torch.bool, device=queries.device)
    logits = torch.cat([own, others.masked_fill(same, _DIAGONAL)], 2) / temperature
    return (logits.logsumexp(2) - logits[..., 0]).mean()


def mean_patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor]) -> Tensor:
    """The mean of `patch_nce` over layers, a scalar."""
    losses = [patch_nce(q, k) for q, k in zip(queries, keys, strict=True)]
    return torch.stack(losses).mean()


def semantic_consistency(
    of_source: Tensor, of_made: Tensor, prototypes: Tensor, counted: Tensor
) -> Tensor:
    """Mean squared change of the similarities to the prototypes, over pixels and classes; a scalar.

    Gradients reach `of_made` alone. 0 where nothing changed, where no class has a prototype (all
    rows are 0), and where no pixel counts.

    Args:
        of_source: embeddings of the source image, float [B, d, h, w].
        of_made: embeddings of its translation, float [B, d, h, w].
        prototypes: float [K, d], 0 where a class has none.
        counted: which pixels count, bool [B, h, w].
    """
    change = torch.einsum("bdhw,kd->bkhw", of_made - of_source.detach(), prototypes.detach())
    squares = torch.where(counted[:, None], change.square(), 0.0)
    return squares.sum() / (counted.sum().clamp(min=1) * len(prototypes))


def without_own_gradient(module: nn.Module, inputs: Tensor) -> Tensor:
    """What a module gives, with gradients in `inputs` but none in its parameters."""
    fixed = {name: value.detach() for name, value in module.named_parameters()}
    answer: Tensor = functional_call(module, fixed, (inputs,))
    return answer
