"""The report of `make demo-rounds`: a curve as SVG, and rounds and gates as one HTML page."""

import html
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from api_schemas.campaigns import Campaign, Round

_WIDTH_PX: Final = 480
_HEIGHT_PX: Final = 240
_MARGIN_PX: Final = 48
_COLOUR: Final = "#1f618d"
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1000px; padding: 0 1rem;
       color: #1c2024; background: #fafafa; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .15rem .9rem .15rem 0; text-align: left; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #ccc; }
"""


def curve(points: Sequence[tuple[str, float]]) -> str:
    """Return mIoU by round as SVG; every point has its label and its figure in percent.

    Args:
        points: (label, mIoU in [0, 1]), in order.
    """
    width, height, margin = _WIDTH_PX, _HEIGHT_PX, _MARGIN_PX
    top = max([0.1, *(value for _, value in points)]) * 1.15
    step = (width - 2 * margin) / max(1, len(points) - 1)
    places = [
        (margin + i * step, height - margin - (height - 2 * margin) * value / top)
        for i, (_, value) in enumerate(points)
    ]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    base = height - margin
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" aria-label="mIoU by round" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{margin} {base}H{width - margin}" stroke="#999"/>',
    ]
    if len(places) > 1:
        parts.append(f'<path d="M{line}" fill="none" stroke="{_COLOUR}" stroke-width="2"/>')
    for (x, y), (label, value) in zip(places, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLOUR}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{100 * value:.1f} %</text>'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{html.escape(label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def page(campaign: Campaign, rounds: Sequence[Round], points: Sequence[tuple[str, float]]) -> str:
    """Return the whole report as HTML."""
    reason = f" {html.escape(campaign.reason.detail)}" if campaign.reason else ""
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Rounds</title>',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(campaign.name or 'Rounds')}</h1>",
            f"<p>The campaign ended as <b>{campaign.status}</b>.{reason} It began with ",
            f"{html.escape(campaign.model)}; {html.escape(campaign.teacher)} stands now. mIoU is "
            "of other scenes of the target with exact labels: reported, never used.</p>",
            curve(points),
            *(_round(one) for one in rounds),
            "</body></html>",
        ]
    )


def _round(one: Round) -> str:
    steps = [
        [s.step, s.status, s.job or "", _seconds(s.started_at, s.finished_at), s.detail or ""]
        for s in one.steps
    ]
    gates = [
        [g.gate, "passed" if g.passed else "not passed", _number(g.value), f"{g.limit:g}", g.detail]
        for g in one.gates
    ]
    return (
        f"<h2>Round {one.number}: {one.status}</h2>"
        f"<p>{html.escape(one.teacher)} labelled; label set {one.label_set or '–'}; "
        f"{html.escape(one.model or 'no model')} was trained with seed {one.seed}.</p>"
        + _table(["step", "state", "job", "seconds", ""], steps)
        + _table(["gate", "", "value", "limit", ""], gates)
    )


def _seconds(started: datetime, finished: datetime | None) -> str:
    if finished is None:
        return ""
    # Both stamps may be of one transaction, rounded apart.
    return f"{max(0.0, (finished - started).total_seconds()):.0f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
