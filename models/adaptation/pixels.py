"""Feature vectors of labelled pixels, and draws among them that are the same on every device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.adaptation.resolution import labels_at
from models.ontology import IGNORE_LABEL


@dataclass(frozen=True, eq=False)
class LabelledVectors:
    """N cells of a feature grid that have a class.

    Attributes:
        vectors: of length 1, float [N, d].
        classes: int64 [N], never 255.
        cells: places in the flattened grid [B * h * w], rising, int64 [N].
    """

    vectors: Tensor
    classes: Tensor
    cells: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def at(self, rows: Tensor) -> "LabelledVectors":
        """Some of them, by rows int64 [M]."""
        return LabelledVectors(self.vectors[rows], self.classes[rows], self.cells[rows])

    def detached(self) -> "LabelledVectors":
        return LabelledVectors(self.vectors.detach(), self.classes, self.cells)


def labelled_vectors(features: Tensor, labels: Tensor) -> LabelledVectors:
    """Vectors of the cells whose label is not 255 and whose features are finite.

    Args:
        features: float [B, d, h, w].
        labels: int64 [B, H, W]; read at the centres of the cells.
    """
    size_hw = (features.shape[2], features.shape[3])
    classes = labels_at(labels, size_hw).flatten()
    rows = features.permute(0, 2, 3, 1).flatten(0, 2)
    usable = (classes != IGNORE_LABEL) & torch.isfinite(rows.detach()).all(1)
    cells = usable.nonzero()[:, 0]
    # Chosen before the division: a NaN elsewhere then gets no gradient.
    return LabelledVectors(F.normalize(rows[cells], dim=1), classes[cells], cells)


def draw_of_each_class(
    classes: Tensor, num_classes: int, most: int, generator: torch.Generator
) -> Tensor:
    """Rows of at most `most` pixels of each class, without replacement, int64 [M].

    Args:
        classes: int64 [N].
        num_classes: K.
        most: of each class.
        generator: on the CPU.
    """
    order = torch.randperm(len(classes), generator=generator)
    shuffled = classes.cpu()[order]
    by_class = torch.argsort(shuffled, stable=True)
    counts = torch.bincount(shuffled, minlength=num_classes)
    first = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.arange(len(classes)) - first
    return order[by_class[rank < most]].to(classes.device)


def draw_class_uniform(
    classes: Tensor, excluded: int, count: int, generator: torch.Generator
) -> Tensor:
    """Rows of pixels of other classes: a class at random, then a pixel of it, with replacement.

    Args:
        classes: int64 [N].
        excluded: the class that is not drawn.
        count: how many.
        generator: on the CPU.

    Returns:
        int64 [count], or [0] if there is no pixel of another class.
    """
    own = classes.cpu()
    order = torch.argsort(own, stable=True)
    present, counts = torch.unique(own, return_counts=True)
    first = counts.cumsum(0) - counts
    others = (present != excluded).nonzero()[:, 0]
    if not len(others):
        return classes.new_zeros(0)
    drawn = others[torch.randint(len(others), (count,), generator=generator)]
    within = (torch.rand(count, generator=generator) * counts[drawn]).long()
    within = within.minimum(counts[drawn] - 1)
    return order[first[drawn] + within].to(classes.device)
