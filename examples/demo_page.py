"""The demo's report as one HTML page."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from examples.demo_reliability import diagram

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Selvage demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1320px;
       padding: 0 1rem; color: #1c2024; background: #fafafa; }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem; }}
p {{ max-width: 75ch; }}
.legend {{ max-width: none; }}
.legend span {{ display: inline-flex; align-items: center; margin: 0 1rem .3rem 0; }}
.legend i {{ width: 1rem; height: 1rem; border-radius: 3px; margin-right: .4rem;
            border: 1px solid #0003; }}
table {{ border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }}
th, td {{ padding: .15rem .8rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums; }}
th:first-child, td:first-child {{ text-align: left; }}
th {{ border-bottom: 1px solid #ccc; font-weight: 600; }}
figure {{ margin: 1.2rem 0; background: #fff; border: 1px solid #e2e2e2; border-radius: 8px;
         padding: .8rem; }}
figure > div {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; }}
figure span.picture {{ font-size: .8rem; color: #555; }}
img {{ width: 100%; display: block; border-radius: 4px; }}
figcaption {{ margin-top: .5rem; color: #555; font-size: .9rem; }}
figcaption span {{ margin-left: 1.5rem; }}
small {{ color: #666; }}
</style></head><body>
<h1>Selvage demo</h1>
<p>{summary}</p>
{table}
{reliability}
<p><small>{reading}</small></p>
<p class="legend">{legend}</p>
{figures}
</body></html>
"""
READING: Final = (
    "Black is <em>ignore</em> (255): no class. In <em>correct</em> a region that was rejected is "
    "striped in the colour that it had, one that was relabelled has a white outline. Confidence "
    "runs from dark (low) to bright (high). Images come lowest quality first: these are the ones "
    "to look at."
)
RIVAL: Final = (
    "<em>Rival</em>: as many pixels of the plain predictions, those of highest max-softmax, with "
    "one threshold for all classes or one for each, whichever is better."
)
TITLES: Final = {
    "coverage": "coverage",
    "accuracy_kept": "right of kept",
    "miou_full": "mIoU, dropped = missed",
    "boundary_iou": "boundary IoU",
}


def percent(value: float | None) -> str:
    """A fraction as percent with one digit, a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def page(
    summary: Mapping[str, Any],
    legend: Sequence[tuple[str, tuple[int, int, int]]],
    images: Sequence[Mapping[str, Any]],
) -> str:
    """The page.

    Args:
        summary: of `demo_report.summary_of`.
        legend: names and colours of the classes.
        images: a row each, in the order of the page.
    """
    reading = READING + (f" {RIVAL}" if summary["stages"] else "")
    chips = (
        f'<span><i style="background: rgb{tuple(colour)}"></i>{html.escape(name)}</span>'
        for name, colour in legend
    )
    return PAGE.format(
        summary=_summary(summary),
        table=stage_rows(summary["stages"]),
        reliability=_reliability(summary["reliability"]),
        reading=reading,
        legend="".join(chips),
        figures="\n".join(_figure(row) for row in images),
    )


def stage_rows(stages: Sequence[Mapping[str, Any]]) -> str:
    """A table with a row a stage; in percent, the rival's figures in brackets."""
    if not stages:
        return ""
    columns = [name for name in TITLES if any(name in row for row in stages)]
    lines = [_cells("th", ["stage", *(TITLES[name] for name in columns)])]
    for row in stages:
        lines.append(_cells("td", [html.escape(row["stage"]), *stage_cells(row, columns)]))
    return f"<table>{''.join(lines)}</table>"


def stage_cells(row: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    """The figures of a stage in percent, each with its rival's in brackets where there is one."""
    rival = row.get("rival") or {}
    return [
        percent(row[name]) + (f" ({percent(rival[name])})" if name in rival else "")
        for name in columns
    ]


def decision(regions: Mapping[str, Any]) -> str:
    """Who decided about regions, and what became of them, as plain text."""
    judges = {
        "job": "The classifier that was fitted on this job's own regions decided",
        "model": "The classifier that came with the model decided",
        "none": "No classifier decided, but the votes and confidence of each region",
    }
    counts = ", ".join(f"{regions[name]} {name}" for name in ("kept", "relabelled", "rejected"))
    judge = judges.get(regions["decided_by"])
    return counts if judge is None else f"{judge} ({regions['reason']}): {counts}"


def _summary(summary: Mapping[str, Any]) -> str:
    text = (
        f"{summary['labelled']} of {summary['files']} images labelled by "
        f"<b>{html.escape(summary['model'])}</b>, regions by "
        f"<b>{html.escape(summary['region_model'])}</b>. The label covers "
        f"{percent(summary['coverage'])} % of the images; its mean confidence is "
        f"{percent(summary['quality'])} %."
    )
    if summary["regions"]:
        text += f" {html.escape(decision(summary['regions']))}."
    if summary["stages"]:
        text += " Against the exact labels of these generated scenes, in percent:"
    return text


def _reliability(curves: Mapping[str, Mapping[str, Any]]) -> str:
    if not curves:
        return ""
    lines = [_cells("th", ["is confidence worth its word?", "AUROC", "calibration error"])]
    for name, curve in curves.items():
        figures = [percent(curve["auroc"]), percent(curve["ece"])]
        lines.append(_cells("td", [html.escape(name), *figures]))
    return f"<table>{''.join(lines)}</table>{diagram(curves)}"


def _figure(row: Mapping[str, Any]) -> str:
    name = html.escape(row["name"])
    if "pictures" not in row:
        reason = html.escape(row["reason"])
        return (
            f"<figure><figcaption><b>{name}</b><span>{row['status']}: {reason}</span>"
            "</figcaption></figure>"
        )
    pictures = "".join(
        f'<span class="picture"><img loading="lazy" src="{html.escape(path)}" '
        f'alt="{kind} of {name}">{kind}</span>'
        for kind, path in row["pictures"].items()
    )
    regions = html.escape(decision(row["regions"])) if row["regions"] else ""
    return (
        f"<figure><div>{pictures}</div><figcaption><b>{name}</b>"
        f"<span>coverage {percent(row['coverage'])} %</span>"
        f"<span>quality {percent(row['quality'])} %</span>"
        f"{stage_rows(row['stages'])}{regions}</figcaption></figure>"
    )


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"
