"""A confusion matrix as a table: shares of each true class, with a shade for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

DROPPED: Final = "dropped"
_LEVELS: Final = (0.005, 0.05, 0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Cell:
    """`share` is of the pixels of the true class; `level` 0 … 5 its shade."""

    share: float
    pixels: int
    level: int
    is_hit: bool

    @property
    def text(self) -> str:
        if not self.pixels:
            return ""
        return "<1" if self.share < 0.005 else f"{100 * self.share:.0f}"


@dataclass(frozen=True)
class Matrix:
    """Rows are true classes that occur; columns labelled classes, and dropped pixels at the end."""

    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


def of_result(result: Mapping[str, Any] | None) -> Matrix | None:
    """Return the matrix of an evaluation; None where its job tells none."""
    document = (result or {}).get("confusion")
    if not isinstance(document, dict):
        return None
    names = [str(name) for name in document["classes"]]
    rows = []
    for i, (name, counts) in enumerate(zip(names, document["pixels"], strict=True)):
        total = sum(counts)
        if total:
            cells = [_cell(n, total, is_hit=i == column) for column, n in enumerate(counts)]
            rows.append((name, cells))
    return Matrix([*names, DROPPED], rows)


def _cell(pixels: int, total: int, *, is_hit: bool) -> Cell:
    share = pixels / total
    return Cell(share, pixels, sum(share >= level for level in _LEVELS), is_hit)
