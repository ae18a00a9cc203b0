"""The rows of a benchmark of rounds: which labels a round makes, and which terms learn of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

BASELINES: Final = ("source_only", "source_bn", "oracle")
METHODS: Final = ("rmm", "pull", "prototypes", "connectivity")

# Of the first teacher, rectifier and classifier of regions are fitted on labelled source images, as
# the jobs fit_rectifier and fit_connectivity do. Fixed before any row was run: what `select` does
# by default.
_SELECT: Final = {"mode": "class_balanced", "keep_fraction": 0.7}
_PIXELS: Final[Mapping[str, Any]] = {"select": _SELECT}
_REGIONS: Final[Mapping[str, Any]] = {
    "select": {"mode": "class_balanced", "keep_fraction": 0.5},
    "aggregate": {"region_model": "graph"},
    "correct": {},
}


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        name: in results.
        pipeline: of the label path, as JSON.
        rectify: whether labels are rectified.
        terms: of the recipe.
    """

    name: str
    pipeline: Mapping[str, Any] = field(default_factory=lambda: _PIXELS)
    rectify: bool = False
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def training_rows() -> dict[str, Row]:
    """All rows that train on pseudo-labels, by name."""
    rows = [
        Row("plain"),
        Row("labels", _REGIONS, rectify=True),
        Row("style_ce", terms={"style_ce": {}}),
        _with("all", METHODS),
        *(_with(name, (name,)) for name in METHODS),
        *(_with(f"all-minus-{name}", tuple(m for m in METHODS if m != name)) for name in METHODS),
    ]
    return {row.name: row for row in rows}


def _with(name: str, methods: tuple[str, ...]) -> Row:
    return Row(
        name,
        _REGIONS if "connectivity" in methods else _PIXELS,
        "rmm" in methods,
        {method: {} for method in methods},
    )


ROWS: Final = (*BASELINES, *training_rows())
