"""Regions with wrong classes made from right ones, to fit a model's classifier on."""

import numpy as np
import numpy.typing as npt

from models.connectivity.head import Features

Classes = npt.NDArray[np.uint8]


def flip_classes(
    features: Features, given: Classes, flipped_to: Classes, num_classes: int
) -> dict[str, npt.NDArray[np.float16]]:
    """The features as they would be if the pixels had voted for another class just as firmly.

    The vote shares and probabilities of the two classes change places, so a flip does not show in
    the group `votes`, as an error of a model does not either; it must be found by the others.

    Args:
        features: {group: float16 (N, D)}.
        given: the class that the regions have, uint8 (N,).
        flipped_to: the class that they get, uint8 (N,).
        num_classes: K.
    """
    if "votes" not in features:
        return dict(features)
    votes = features["votes"].copy()
    rows = np.arange(len(given))
    for start in (0, num_classes):  # shares, then mean probabilities
        one, other = start + given.astype(np.int64), start + flipped_to.astype(np.int64)
        votes[rows, one], votes[rows, other] = votes[rows, other], votes[rows, one]
    return {**features, "votes": votes}


def drawn_flips(
    given: Classes, share: float, confusion: npt.NDArray[np.floating], seed: int
) -> Classes:
    """The classes with a share of them flipped, each to a class drawn by its row of a confusion.

    Args:
        given: uint8 (N,).
        share: how many are flipped, 0 to 1.
        confusion: weight of each class (column) for a class given (row), not negative, (K, K); the
            diagonal does not count, and a row of zeros stands for all others alike.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    weights = confusion.astype(np.float64).copy()
    np.fill_diagonal(weights, 0)
    empty = weights.sum(1) == 0
    weights[empty] = 1 - np.eye(len(weights))[empty]
    flipped = given.copy()
    rows = np.flatnonzero((rng.random(len(given)) < share) & (weights[given].sum(1) > 0))
    ends = np.cumsum(weights[given[rows]], axis=1)
    drawn = rng.random(len(rows)) * ends[:, -1]
    flipped[rows] = np.argmax(ends > drawn[:, None], axis=1)
    return flipped
