"""How much a label keeps, and how often the kept part is right (from a confusion matrix).

All functions take the (K, K + 1) matrix of `confusion`. A share of nothing is NaN, never 0 or 1.
"""

from models.metrics.confusion import Counts, Fractions, divide


def coverage(matrix: Counts) -> float:
    """Share of the annotated pixels that are kept."""
    return float(divide(matrix[:, :-1].sum(), matrix.sum()))


def accuracy_kept(matrix: Counts) -> float:
    """Share of the kept pixels that are right (precision of the kept set)."""
    return float(divide(matrix.diagonal().sum(), matrix[:, :-1].sum()))


def coverage_per_class(matrix: Counts) -> Fractions:
    """Share of each true class that is kept, shape (K,)."""
    return divide(matrix[:, :-1].sum(axis=1), matrix.sum(axis=1))


def precision_per_class(matrix: Counts) -> Fractions:
    """Share of the pixels labelled as each class that are right, shape (K,)."""
    return divide(matrix.diagonal(), matrix[:, :-1].sum(axis=0))


def recall_per_class(matrix: Counts) -> Fractions:
    """Share of the kept pixels of each true class that are labelled so, shape (K,)."""
    return divide(matrix.diagonal(), matrix[:, :-1].sum(axis=1))
