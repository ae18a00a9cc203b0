"""The demo's report: each image beside its label, confidence and overlay, as one HTML page."""

import html
import io
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from selvage_client import Selvage

from api_schemas.jobs import Job, ResultLine
from api_schemas.labels import Label
from formats.decode import decode_image
from formats.opening import ImageLimits
from formats.overlay import colour_label, heat, overlay

Array = npt.NDArray[np.uint8]
IGNORE = 255
SHEET_ROWS = 3
SHEET_TILE_PX = 240

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Selvage demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1320px;
       padding: 0 1rem; color: #1c2024; background: #fafafa; }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem; }}
p {{ max-width: 70ch; }}
.legend span {{ display: inline-flex; align-items: center; margin: 0 1rem .3rem 0; }}
.legend i {{ width: 1rem; height: 1rem; border-radius: 3px; margin-right: .4rem;
            border: 1px solid #0003; }}
figure {{ margin: 1.2rem 0; background: #fff; border: 1px solid #e2e2e2; border-radius: 8px;
         padding: .8rem; }}
figure div {{ display: grid; grid-template-columns: repeat({columns}, 1fr); gap: .5rem; }}
img {{ width: 100%; display: block; border-radius: 4px; image-rendering: auto; }}
figcaption {{ display: flex; gap: 1.5rem; margin-top: .5rem; color: #555; font-size: .9rem; }}
small {{ color: #666; }}
</style></head><body>
<h1>Selvage demo</h1>
<p>{summary}</p>
<p><small>Left to right: {column_names}. Black is <em>ignore</em> (255): the service was not sure
enough there. Confidence runs from dark (low) to bright (high). Images come lowest quality first:
these are the ones to look at.</small></p>
<p class="legend">{legend}</p>
{figures}
</body></html>
"""
FIGURE = """<figure><div>{pictures}</div>
<figcaption><b>{name}</b>{facts}</figcaption></figure>"""


def _save(array: Array, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path.name


def _read_png(data: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(data)))


def write_report(
    client: Selvage, job: Job, *, images: Path, truth: Path | None, out: Path
) -> dict[str, Any]:
    """Write `report.html`, its pictures and `report.json` into `out`; returns the summary."""
    rows = [_row(client, line, images, truth, out) for line in client.results(job.id)]
    labelled = sorted((r for r in rows if r["status"] == "succeeded"), key=lambda r: r["quality"])
    others = [r for r in rows if r["status"] != "succeeded"]
    summary: dict[str, Any] = {
        "job": job.id,
        "model": job.model,
        "files": len(rows),
        "labelled": len(labelled),
        "coverage": _mean([r["coverage"] for r in labelled]) or 0.0,
        "quality": _mean([r["quality"] for r in labelled if r["quality"] is not None]) or 0.0,
        "images_per_second": job.progress.images_per_second,
        "accuracy_kept": _mean([r["accuracy_kept"] for r in labelled]),
        "accuracy_predict": _mean([r["accuracy_predict"] for r in labelled]),
    }
    legend = labelled[0].pop("legend") if labelled else []
    for row in labelled:
        row.pop("legend", None)
    document = {"summary": summary, "images": labelled + others}
    (out / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "report.html").write_text(_page(summary, legend, labelled, others))
    _write_sheet(labelled, out)
    return summary


def _row(
    client: Selvage, line: ResultLine, images: Path, truth: Path | None, out: Path
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": line.external_id,
        "status": line.status,
        "quality": line.quality,
        "coverage": line.coverage,
        "accuracy_kept": None,
        "accuracy_predict": None,
    }
    if line.label_id is None:
        row["reason"] = line.error.detail if line.error else line.status
        return row
    label = client.label(line.label_id)
    classes = _read_png(client.artifact(label.id, "label.png"))
    confidence = _read_png(client.artifact(label.id, "confidence.png"))
    image = decode_image(client.image(label.image_digest), ImageLimits())
    row["pictures"] = _pictures(label, image, classes, confidence, out / "report")
    row["legend"] = [(c.name, c.color) for c in label.ontology.classes]
    truth_file = truth / Path(line.external_id).name if truth else None
    if truth_file is not None and truth_file.exists():
        argmax = _read_png(client.artifact(label.id, "stages/predict.png"))
        row |= _accuracy(classes, argmax, np.asarray(Image.open(truth_file)))
    return row


def _pictures(
    label: Label, image: Array, classes: Array, confidence: Array, folder: Path
) -> dict[str, str]:
    palette = label.ontology.palette
    pictures = {
        "image": image,
        "label": colour_label(classes, palette),
        "confidence": heat(confidence),
        "overlay": overlay(image, classes, palette),
    }
    return {
        kind: f"report/{_save(array, folder / f'{label.id}_{kind}.png')}"
        for kind, array in pictures.items()
    }


def _accuracy(kept: Array, argmax: Array, truth: Array) -> dict[str, float | None]:
    has_label = kept != IGNORE
    right = (kept == truth)[has_label]
    return {
        "accuracy_kept": float(right.mean()) if right.size else None,
        "accuracy_predict": float((argmax == truth).mean()),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _page(
    summary: dict[str, Any],
    legend: list[tuple[str, tuple[int, int, int]]],
    labelled: list[dict[str, Any]],
    others: list[dict[str, Any]],
) -> str:
    text = (
        f"{summary['labelled']} of {summary['files']} images labelled by <b>{summary['model']}</b>."
        f" The kept pixels cover {summary['coverage']:.0%} of the images; their mean confidence is "
        f"{summary['quality']:.0%}."
    )
    if summary["accuracy_kept"] is not None:
        text += (
            f" Measured against the exact labels of these generated scenes, "
            f"{summary['accuracy_kept']:.0%} of the kept pixels are right."
        )
    figures = [_figure(row) for row in labelled]
    figures += [
        FIGURE.format(
            pictures="",
            name=html.escape(row["name"]),
            facts=f"<span>{row['status']}: {html.escape(row['reason'])}</span>",
        )
        for row in others
    ]
    chips = [
        f'<span><i style="background: rgb{tuple(colour)}"></i>{html.escape(name)}</span>'
        for name, colour in legend
    ]
    return PAGE.format(
        columns=4,
        summary=text,
        column_names="image, label, confidence, overlay",
        legend="".join(chips),
        figures="\n".join(figures),
    )


def _write_sheet(labelled: list[dict[str, Any]], out: Path) -> None:
    """Write `sheet.png`: a few images of middling quality, one a row, as in the page."""
    middle = max(0, (len(labelled) - SHEET_ROWS) // 2)
    rows = []
    for row in labelled[middle : middle + SHEET_ROWS]:
        pictures = [Image.open(out / path).convert("RGB") for path in row["pictures"].values()]
        size = (SHEET_TILE_PX, round(SHEET_TILE_PX * pictures[0].height / pictures[0].width))
        rows.append(np.hstack([np.asarray(picture.resize(size)) for picture in pictures]))
    if rows and all(row.shape == rows[0].shape for row in rows):
        Image.fromarray(np.vstack(rows)).save(out / "sheet.png", optimize=True)


def _figure(row: dict[str, Any]) -> str:
    pictures = "".join(
        f'<img loading="lazy" src="{path}" alt="{kind} of {html.escape(row["name"])}">'
        for kind, path in row["pictures"].items()
    )
    facts = f"<span>coverage {row['coverage']:.0%}</span><span>quality {row['quality']:.2f}</span>"
    if row["accuracy_kept"] is not None:
        facts += f"<span>right {row['accuracy_kept']:.0%} of kept</span>"
    return FIGURE.format(pictures=pictures, name=html.escape(row["name"]), facts=facts)
