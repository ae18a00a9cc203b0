"""`regions.json` of a label, from the worker's hand to the client's."""

from pathlib import Path
from typing import Any

import pytest

from models.label_maps import LabelMaps
from models.pipeline import LabelPipeline
from models.prediction import Prediction
from tests.support.api import get_items, post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation

REGION = {
    "id": 1, "segmentation": {"size": [24, 32], "counts": "0`h0"}, "bbox": [0, 0, 32, 24],
    "area": 768, "class_before": 1, "class_after": None, "decision": "rejected",
    "posterior": 0.75, "probability": 0.5, "vote_share": 1.0, "quality": 0.875, "confidence": 0.5,
}  # fmt: skip
DOCUMENT = {"size": [24, 32], "decided_by": "none", "reason": "no classifier", "regions": [REGION]}


@pytest.fixture
def label_path(sqlite_site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a label that comes with regions."""
    plain = LabelPipeline.finish

    def finish(self: LabelPipeline, prediction: Prediction, **more: Any) -> LabelMaps:
        maps = plain(self, prediction, **more)
        return LabelMaps(maps.label, maps.confidence, {}, maps.summary, DOCUMENT)

    monkeypatch.setattr(LabelPipeline, "finish", finish)
    sqlite_site.add_tiny_model(tmp_path / "m")
    job = post_images(sqlite_site, {"a.png": png_bytes(1)})["job"]["id"]
    sqlite_site.settle()
    (line,) = sqlite_site.client.get(f"/v1/jobs/{job}/results").text.splitlines()
    (item,) = get_items(sqlite_site, job).values()
    assert f"/v1/labels/{item['label_id']}/artifacts/regions.json" in line
    return f"/v1/labels/{item['label_id']}"


def test_it_is_served_as_the_other_files_are(sqlite_site: Installation, label_path: str) -> None:
    client = sqlite_site.client
    path = client.get(label_path).json()["artifacts"]["regions.json"]
    answer = client.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"format_version": 1, **DOCUMENT}
    cached = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (cached.status_code, cached.content) == (304, b"")


def test_labels_without_regions_have_no_such_file(
    sqlite_site: Installation, tmp_path: Path
) -> None:
    sqlite_site.add_tiny_model(tmp_path / "m")
    job = post_images(sqlite_site, {"a.png": png_bytes(1)})["job"]["id"]
    sqlite_site.settle()
    (item,) = get_items(sqlite_site, job).values()
    path = f"/v1/labels/{item['label_id']}/artifacts"
    assert sqlite_site.client.get(f"{path}/regions.json").status_code == 404
    assert sqlite_site.client.get(f"{path}/label.png").status_code == 200
