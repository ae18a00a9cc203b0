"""Pull target-like features to source features of the same class.

Reconstruction of T2S-DA (Wang et al., "Pulling Target to Source", arXiv 2305.13752): its abstract
names the idea and no formula. Queries are pixels of source images in target style, whose classes
are known; keys are pixels of the source images as they are. Only queries have a gradient, so the
loss can fall in one way alone: target-like features move.

    L = 1/|C| sum_c w_c 1/M_c sum_i -log(e_i / (e_i + sum_j exp(q_i k-_j / tau))),
    e_i = exp(q_i k+_c / tau)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from models.adaptation.pixels import (
    LabelledVectors,
    draw_class_uniform,
    draw_of_each_class,
)

POSITIVES: Final = ("centre", "paired")


@dataclass(frozen=True, eq=False)
class ClassDraw:
    """What the queries of one class are compared with.

    Attributes:
        class_id: of the queries.
        queries: rows of the query vectors, int64 [M].
        of_source: rows of the source keys that are negatives, int64 [N_s].
        of_target: rows of the target keys that are negatives, int64 [N_t].
    """

    class_id: int
    queries: Tensor
    of_source: Tensor
    of_target: Tensor


def draw_contrast(
    query_classes: Tensor,
    source_classes: Tensor,
    target_classes: Tensor,
    num_classes: int,
    queries_of_class: int,
    negatives: int,
    generator: torch.Generator,
) -> list[ClassDraw]:
    """Queries and domain-equalised negatives of each class that has queries, a key and a negative.

    Half of the negatives are of each domain (the odd one is of the source), class by class at
    random and with replacement; all queries of a class share them. A domain without any pixel of
    another class leaves its half to the other domain.

    Args:
        query_classes: int64 [Q].
        source_classes, target_classes: of the keys, int64 [N_s], [N_t].
        num_classes: K.
        queries_of_class: M, at most.
        negatives: N.
        generator: on the CPU.
    """
    rows = draw_of_each_class(query_classes, num_classes, queries_of_class, generator)
    drawn_classes = query_classes[rows]
    with_key = set(torch.unique(source_classes).tolist())
    found = []
    for class_id in torch.unique(drawn_classes).tolist():
        of_target = draw_class_uniform(target_classes, class_id, negatives // 2, generator)
        of_source = draw_class_uniform(
            source_classes, class_id, negatives - len(of_target), generator
        )
        if not len(of_source):
            of_target = draw_class_uniform(target_classes, class_id, negatives, generator)
        if class_id in with_key and len(of_source) + len(of_target):
            queries = rows[drawn_classes == class_id]
            found.append(ClassDraw(class_id, queries, of_source, of_target))
    return found


def class_centres(keys: LabelledVectors, num_classes: int) -> Tensor:
    """Mean vector of each class, of length 1, float [K, d]; 0 of a class without pixels."""
    sums = keys.vectors.new_zeros(num_classes, keys.vectors.shape[1])
    sums.index_add_(0, keys.classes, keys.vectors)
    return torch.nn.functional.normalize(sums, dim=1)


def info_nce(queries: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """-log of the share of the positive among positive and negatives, float [M].

    Args:
        queries: of length 1, float [M, d].
        positives: of length 1, float [M, d] or [1, d].
        negatives: of length 1, shared by the queries, float [N, d].
        temperature: above 0.
    """
    own = (queries * positives).sum(1, keepdim=True)
    logits = torch.cat([own, queries @ negatives.t()], 1) / temperature
    return logits.logsumexp(1) - logits[:, 0]


def pull_loss(
    queries: LabelledVectors,
    source_keys: LabelledVectors,
    target_keys: LabelledVectors,
    draws: Sequence[ClassDraw],
    weights: Tensor,
    temperature: float,
    positives: str = "centre",
) -> Tensor:
    """The loss over the classes drawn, a scalar; 0 with a gradient of 0 if there are none.

    Args:
        queries: of target-like images, with gradient.
        source_keys: of the source images; what gradient they have is cut.
        target_keys: of target-like images; what gradient they have is cut.
        draws: of `draw_contrast` over the same vectors.
        weights: of each class, float [K].
        temperature: tau.
        positives: "centre", the mean of the class's keys, or "paired", the source pixel at the
            place of the query (the centre where that one is no key).
    """
    source_keys, target_keys = source_keys.detached(), target_keys.detached()
    centres = class_centres(source_keys, len(weights))
    total = queries.vectors.sum() * 0
    for draw in draws:
        chosen = queries.at(draw.queries)
        positive = centres[draw.class_id][None]
        if positives == "paired":
            positive = _paired(chosen, source_keys, positive)
        negative = torch.cat(
            [source_keys.vectors[draw.of_source], target_keys.vectors[draw.of_target]]
        )
        loss = info_nce(chosen.vectors, positive, negative, temperature)
        total = total + weights[draw.class_id].detach() * loss.mean()
    return total / max(1, len(draws))


def _paired(queries: LabelledVectors, keys: LabelledVectors, otherwise: Tensor) -> Tensor:
    """The keys of the same cells, float [M, d]; `otherwise` [1, d] where there is none."""
    if not len(keys):
        return otherwise
    rows = torch.searchsorted(keys.cells, queries.cells).clamp(max=len(keys) - 1)
    there = keys.cells[rows] == queries.cells
    return torch.where(there[:, None], keys.vectors[rows], otherwise)
