"""Which class overlapping masks give each pixel together.

Where masks of several sizes lie over a pixel, none of them is right for all pixels: a large one
evens out errors, a small one has the outline of a pole. So each speaks with the shares of its
votes, the more the purer they are, the pixel with its own vote, and the class with the largest sum
is written: an average of opinions (a linear pool; Genest and Zidek, "Combining Probability
Distributions", Statistical Science 1986) in place of a painting order.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.connectivity.pixel_votes import WHOLE_VOTE, PixelVotes
from models.connectivity.stacked_runs import StackedRuns
from models.ontology import IGNORE_LABEL

OWN_VOTE: Final = 0.15
"""What a pixel's own vote counts beside a pure mask of strength 1."""
PURITY_EXPONENT: Final = 0.7
"""A mask counts with exp(-0.7 H), H the entropy of its shares in nats."""


def count_votes(
    masks: StackedRuns, votes: PixelVotes, classes: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Share of the votes inside of each of N masks for each of C classes, float64 (N, C).

    0 where nobody votes.
    """
    if not classes:
        return np.zeros((len(masks), 0))
    counts = np.stack([masks.sums(votes.of(c)) for c in classes], axis=1)
    shares: npt.NDArray[np.float64] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def purity(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """exp(-0.7 H) of each row of shares (N, C), float64 (N,): 1 if all votes are for one class."""
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    pure: npt.NDArray[np.float64] = np.exp(-PURITY_EXPONENT * entropy)
    return pure


def elect(
    masks: StackedRuns, spoken: npt.NDArray[np.float64], votes: PixelVotes, classes: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """The class of each pixel that lies in a mask, uint8 (H W,) in column order; else 255.

    Of equal sums the lowest class is written, and none where nobody has a vote.

    Args:
        masks: N masks.
        spoken: what each mask says for each class, float64 (N, C).
        votes: of the pixels themselves.
        classes: ids of the C classes, rising.
    """
    is_covered = masks.spread(np.ones(len(masks), np.int64)) > 0
    label = np.full(is_covered.shape, IGNORE_LABEL, np.uint8)
    most = np.zeros(is_covered.shape, np.int64)
    for place, class_id in enumerate(classes):
        total = masks.spread(np.rint(spoken[:, place] * WHOLE_VOTE).astype(np.int64))
        total += np.rint(OWN_VOTE * votes.of(class_id)).astype(np.int64)
        wins = is_covered & (total > most)
        most[wins], label[wins] = total[wins], class_id
    return label
