"""The demo's report: each image after each stage, with figures, as an HTML page and as JSON."""

import io
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from api_schemas.jobs import Job, ResultLine
from api_schemas.labels import Label
from api_schemas.ontologies import OntologyClass
from examples.demo_page import page
from examples.demo_pictures import IGNORE, pictures_of
from examples.demo_reliability import reliability
from examples.demo_scoring import ScoredImage, figures_of, stage_table
from formats.decode import decode_image
from formats.opening import ImageLimits

Array = npt.NDArray[np.uint8]

STAGES: Final = ("predict", "rectify", "select", "aggregate", "correct")
DECISIONS: Final = ("kept", "relabelled", "rejected")


class Labels(Protocol):
    """What of the client's methods a report needs."""

    def results(self, job_id: str, /) -> Any: ...

    def label(self, label_id: str, /) -> Label: ...

    def artifact(self, label_id: str, name: str, /) -> bytes: ...

    def image(self, digest: str, /) -> bytes: ...


def write_report(
    client: Labels,
    job: Job,
    *,
    region_model: str,
    out: Path,
    truth: Path | None = None,
    plain: Job | None = None,
) -> dict[str, Any]:
    """Write `report.html`, its pictures and `report.json` into `out`; returns the summary.

    Args:
        client: of the service.
        job: whose labels have the maps after each stage.
        region_model: its name, for the page.
        out: a folder.
        truth: folder with the exact label of each image, by its name.
        plain: a job that only predicted the same images; the rivals are chosen from it. Needed
            with `truth`.
    """
    rows: list[dict[str, Any]] = []
    scored: list[ScoredImage] = []
    classes: Sequence[OntologyClass] = ()
    plain_labels = _labels_by_name(client, plain)
    for line in client.results(job.id):
        row = {
            "name": line.external_id,
            "status": line.status,
            "quality": line.quality,
            "coverage": line.coverage,
        }
        rows.append(row)
        if line.label_id is None:
            row["reason"] = line.error.detail if line.error else line.status
            continue
        label = client.label(line.label_id)
        classes = label.ontology.classes
        stages = _stages(client, label)
        true = _truth(truth, line)
        max_softmax = None
        if true is not None:
            max_softmax = _artifact(client, plain_labels[line.external_id], "confidence.png")
            confidence = _artifact(client, label, "confidence.png")
            scored.append(ScoredImage(stages, max_softmax, confidence, true))
        row["stages"] = stage_figures(stages, true, label.ontology.names)
        row["regions"] = _regions(client, label)
        row["pictures"] = _write_pictures(client, label, stages, max_softmax, out / "report")
    rows.sort(key=lambda row: ("pictures" not in row, row["quality"] or 0.0))
    summary = {
        "job": job.id,
        "model": job.model or "",
        "region_model": region_model,
        "images_per_second": job.progress.images_per_second,
        **summary_of(rows),
        "stages": stage_table(scored, [c.name for c in classes]),
        "reliability": reliability_of(scored, len(classes)),
    }
    document = {"summary": summary, "images": rows}
    (out / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    legend = [(c.name, c.color) for c in classes]
    (out / "report.html").write_text(page(summary, legend, rows))
    return summary


def reliability_of(scored: Sequence[ScoredImage], num_classes: int) -> dict[str, Any]:
    """Diagrams of max-softmax for the predicted classes and of c for the finished labels."""
    if not scored:
        return {}
    before = ((s.stages["predict"], s.max_softmax, s.truth) for s in scored)
    after = ((list(s.stages.values())[-1], s.confidence, s.truth) for s in scored)
    found = {
        "max-softmax of predict": reliability(before, num_classes),
        "confidence of the label": reliability(after, num_classes),
    }
    return {name: curve for name, curve in found.items() if curve is not None}


def stage_figures(
    stages: Mapping[str, Array], truth: Array | None, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each stage of one image; without a truth its coverage alone."""
    if truth is not None:
        return [
            {"stage": stage, **figures_of([(label, truth)], class_names)}
            for stage, label in stages.items()
        ]
    return [
        {"stage": stage, "coverage": float((label != IGNORE).mean())}
        for stage, label in stages.items()
    ]


def region_counts(document: Mapping[str, Any]) -> dict[str, Any]:
    """Who decided about the regions of a `regions.json`, and what became of how many."""
    counts = Counter(region["decision"] for region in document["regions"])
    return {
        "decided_by": document["decided_by"],
        "reason": document["reason"],
        **{name: counts[name] for name in DECISIONS},
    }


def summary_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures over all images; who decided is told for most of them."""
    labelled = [row for row in rows if "pictures" in row]
    regions = [row["regions"] for row in labelled if row["regions"]]
    judges = Counter((r["decided_by"], r["reason"]) for r in regions)
    total = None
    if regions:
        decided_by, reason = judges.most_common(1)[0][0]
        sums = {name: sum(r[name] for r in regions) for name in DECISIONS}
        total = {"decided_by": decided_by, "reason": reason, **sums}
    return {
        "files": len(rows),
        "labelled": len(labelled),
        "coverage": _mean([row["coverage"] for row in labelled]),
        "quality": _mean([row["quality"] for row in labelled]),
        "regions": total,
    }


def _labels_by_name(client: Labels, job: Job | None) -> dict[str, Label]:
    lines = client.results(job.id) if job else ()
    return {line.external_id: client.label(line.label_id) for line in lines if line.label_id}


def _truth(folder: Path | None, line: ResultLine) -> Array | None:
    path = None if folder is None else folder / Path(line.external_id).name
    if path is None or not path.exists():
        return None
    return np.asarray(Image.open(path))


def _stages(client: Labels, label: Label) -> dict[str, Array]:
    """The class map after each stage that the label has."""
    names = {stage: f"stages/{stage}.png" for stage in STAGES}
    return {
        stage: _artifact(client, label, name)
        for stage, name in names.items()
        if name in label.artifacts
    }


def _regions(client: Labels, label: Label) -> dict[str, Any] | None:
    if "regions.json" not in label.artifacts:
        return None
    return region_counts(json.loads(client.artifact(label.id, "regions.json")))


def _write_pictures(
    client: Labels,
    label: Label,
    stages: Mapping[str, Array],
    max_softmax: Array | None,
    folder: Path,
) -> dict[str, str]:
    image = decode_image(client.image(label.image_digest), ImageLimits())
    confidence = _artifact(client, label, "confidence.png")
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    palette = label.ontology.palette
    for kind, picture in pictures_of(image, stages, confidence, palette, max_softmax).items():
        name = f"{label.id}_{kind}.png"
        Image.fromarray(picture).save(folder / name)
        paths[kind] = f"{folder.name}/{name}"
    return paths


def _artifact(client: Labels, label: Label, name: str) -> Array:
    return np.asarray(Image.open(io.BytesIO(client.artifact(label.id, name))))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None
