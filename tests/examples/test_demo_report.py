import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from api_schemas.jobs import Job, Progress, ResultLine
from api_schemas.labels import Label
from api_schemas.ontologies import Ontology
from api_schemas.problems import Problem
from examples.demo_report import region_counts, stage_figures, summary_of, write_report
from examples.pictures import COLUMNS, ROWS, TILE_WIDTH_PX, stages_sheet
from formats.index_png import encode_confidence_png, encode_label_png
from tests.support.images import png_bytes

Model = TypeVar("Model", bound=BaseModel)

ONTOLOGY = Ontology.model_validate(
    {
        "name": "street",
        "classes": [
            {"id": 0, "name": "road", "color": (9, 9, 9)},
            {"id": 1, "name": "car", "color": (0, 0, 200)},
        ],
    }
)
TRUTH = np.zeros((24, 32), np.uint8)
TRUTH[:, 16:] = 1
PREDICTED = TRUTH.copy()
PREDICTED[:, 12:16] = 1
SELECTED = PREDICTED.copy()
SELECTED[:, 8:20] = 255
REGIONS = {
    "decided_by": "model",
    "reason": "2 regions are fewer than 2000",
    "regions": [{"decision": "kept"}, {"decision": "kept"}, {"decision": "rejected"}],
}


def stand_in(kind: type[Model], **fields: Any) -> Model:
    """A document with no more than these fields."""
    return kind.model_construct(**fields)


class FakeService:
    """One label with all stages, one image without a label, and a job that only predicted."""

    def __init__(self) -> None:
        stages = {"predict": PREDICTED, "rectify": PREDICTED, "select": SELECTED}
        stages |= {"aggregate": TRUTH, "correct": TRUTH}
        confidence = encode_confidence_png(np.full(TRUTH.shape, 200, np.uint8))
        maps = {
            f"stages/{name}.png": encode_label_png(label, ONTOLOGY.palette)
            for name, label in stages.items()
        }
        self.files = {
            "lab_1": {
                **maps,
                "confidence.png": confidence,
                "regions.json": json.dumps(REGIONS).encode(),
            },
            "lab_2": {"confidence.png": confidence},
        }

    def results(self, job_id: str) -> list[ResultLine]:
        if job_id == "job_plain":
            return [self._line("a.png", "lab_2")]
        problem = stand_in(Problem, detail="The file is no image.")
        bad = stand_in(ResultLine, external_id="b.png", status="failed", error=problem)
        return [bad, self._line("a.png", "lab_1")]

    def _line(self, name: str, label_id: str) -> ResultLine:
        return ResultLine(
            external_id=name,
            file_name=name,
            status="succeeded",
            label_id=label_id,
            quality=0.8,
            coverage=1.0,
        )

    def label(self, label_id: str) -> Label:
        return stand_in(
            Label,
            id=label_id,
            image_digest="d",
            ontology=ONTOLOGY,
            artifacts=dict.fromkeys(self.files[label_id], "/v1/…"),
        )

    def artifact(self, label_id: str, name: str) -> bytes:
        return self.files[label_id][name]

    def image(self, digest: str) -> bytes:
        return png_bytes(1)


def job(job_id: str) -> Job:
    progress = stand_in(Progress, images_per_second=2.0)
    return stand_in(Job, id=job_id, model="demo:2", progress=progress)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    folder = tmp_path / "truth"
    folder.mkdir()
    Image.fromarray(TRUTH).save(folder / "a.png")
    return folder


def test_the_report_of_images_with_exact_labels(tmp_path: Path, truth: Path) -> None:
    summary = write_report(
        FakeService(),
        job("job_1"),
        region_model="nano",
        out=tmp_path,
        truth=truth,
        plain=job("job_plain"),
    )
    assert (summary["files"], summary["labelled"]) == (2, 1)
    rows = {row["stage"]: row for row in summary["stages"]}
    assert list(rows) == ["predict", "rectify", "select", "aggregate", "correct"]
    assert rows["predict"]["accuracy_kept"] == 28 / 32
    assert rows["select"]["coverage"] == 20 / 32
    assert rows["correct"]["miou_full"] == 1.0
    assert rows["select"]["rival"]["accuracy_kept"] is not None

    document = json.loads((tmp_path / "report.json").read_text())
    labelled, failed = document["images"]
    assert failed["reason"] == "The file is no image."
    assert labelled["regions"] == {
        "decided_by": "model",
        "reason": "2 regions are fewer than 2000",
        "kept": 2,
        "relabelled": 0,
        "rejected": 1,
    }
    assert list(labelled["pictures"]) == [*COLUMNS, "max-softmax", "confidence", "overlay"]
    page = (tmp_path / "report.html").read_text()
    for path in labelled["pictures"].values():
        assert Image.open(tmp_path / path).size == (32, 24)
        assert path in page


def test_the_report_of_other_images_has_no_figures_of_accuracy(tmp_path: Path) -> None:
    summary = write_report(FakeService(), job("job_1"), region_model="nano", out=tmp_path)
    assert summary["stages"] == []
    row = json.loads((tmp_path / "report.json").read_text())["images"][0]
    assert row["stages"][2] == {"stage": "select", "coverage": 20 / 32}


def test_the_picture_of_the_readme_is_made_of_the_report(tmp_path: Path) -> None:
    write_report(FakeService(), job("job_1"), region_model="nano", out=tmp_path)
    picture = stages_sheet(tmp_path)
    assert picture.shape[1] >= len(COLUMNS) * TILE_WIDTH_PX
    assert TILE_WIDTH_PX * 24 / 32 < picture.shape[0] < ROWS * TILE_WIDTH_PX


def test_without_all_stages_there_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"images": [{"name": "a.png"}]}))
    with pytest.raises(SystemExit, match="make demo"):
        stages_sheet(tmp_path)


def test_stage_figures_with_and_without_a_truth() -> None:
    stages = {"select": SELECTED}
    (row,) = stage_figures(stages, TRUTH, ["road", "car"])
    assert row["stage"] == "select"
    assert row["accuracy_kept"] == 1.0
    assert stage_figures(stages, None, []) == [{"stage": "select", "coverage": 20 / 32}]


def test_who_decided_is_told_for_most_images() -> None:
    counts = region_counts(REGIONS)
    other = {**counts, "decided_by": "none", "reason": "other"}
    base = {"pictures": {}, "coverage": 0.5, "quality": None}
    rows = [{**base, "regions": r} for r in (counts, counts, other, None)]
    total = summary_of(rows)["regions"]
    assert total == {**counts, "kept": 6, "rejected": 3}
    assert summary_of([{**base, "regions": None}])["regions"] is None
