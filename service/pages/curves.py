"""Curves per round, laid out here and drawn as SVG by a template."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 440
HEIGHT: Final = 240
LEFT: Final = 44
RIGHT: Final = 16
TOP: Final = 22
BOTTOM: Final = 30
MOST_LABELS: Final = 12  # on the horizontal axis


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    label: str
    value: float
    is_named: bool


@dataclass(frozen=True)
class Series:
    """A line; `style` is a class of the style sheet."""

    name: str
    style: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Line:
    name: str
    style: str
    path: str
    points: list[Point]


@dataclass(frozen=True)
class Chart:
    """Fractions over rounds. The table says in text what the lines show."""

    title: str
    columns: list[str]
    lines: list[Line]
    ticks: list[tuple[float, float]]  # y in the picture, value
    labels: list[tuple[float, str]]  # x in the picture, text
    table: list[Series] = field(default_factory=list)

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = HEIGHT - BOTTOM


def chart(title: str, columns: Sequence[str], series: Sequence[Series]) -> Chart | None:
    """Lay out lines over columns; None where there is nothing to show.

    Args:
        title: says what the values are.
        columns: what stands below each place, in order.
        series: fractions in [0, 1], one a column; None where nothing was measured.
    """
    known = [v for one in series for v in one.values if v is not None]
    if not known:
        return None
    low, high = _range(min(known), max(known))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(columns) - 1)
    xs = [LEFT + i * step for i in range(len(columns))]
    if len(columns) == 1:
        xs = [(LEFT + WIDTH - RIGHT) / 2]
    span = HEIGHT - TOP - BOTTOM

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - span * (value - low) / (high - low)

    lines = []
    for one in series:
        points = [
            Point(x, y_of(value), label, value, is_named=len(columns) <= MOST_LABELS)
            for x, label, value in zip(xs, columns, one.values, strict=True)
            if value is not None
        ]
        path = "L".join(f"{p.x:.1f} {p.y:.1f}" for p in points)
        lines.append(Line(one.name, one.style, f"M{path}" if len(points) > 1 else "", points))
    every = math.ceil(len(columns) / MOST_LABELS)
    return Chart(
        title=title,
        columns=list(columns),
        lines=lines,
        ticks=[(y_of(low + i * (high - low) / 4), low + i * (high - low) / 4) for i in range(5)],
        labels=[(x, text) for i, (x, text) in enumerate(zip(xs, columns, strict=True))
                if i % every == 0],
        table=list(series),
    )  # fmt: skip


def _range(low: float, high: float) -> tuple[float, float]:
    """Bounds in steps of 4 %, so that four equal parts of them are whole percents."""
    floor = max(0.0, math.floor((low - 0.02) / 0.04) * 0.04)
    ceiling = min(1.0, math.ceil((high + 0.02) / 0.04) * 0.04)
    return floor, ceiling if ceiling > floor else floor + 0.04
