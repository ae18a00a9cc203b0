"""The main job from end to end in one process: images in, pseudo-labels out."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.images import jpeg_bytes, png_bytes, zip_bytes
from tests.support.installation import Installation


def post(site: Installation, files: dict[str, bytes], **fields: str) -> Any:
    answer = site.client.post(
        "/v1/pseudo-labels",
        files=[("files", (name, data)) for name, data in files.items()],
        data={"model": "tiny", **fields},
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


class TestPseudoLabels:
    def test_every_image_gets_a_label(self, site: Installation, tmp_path: Path) -> None:
        site.add_tiny_model(tmp_path / "m")
        images = {f"{i}.png": png_bytes(i) for i in range(5)} | {"x.jpg": jpeg_bytes(9)}
        job = post(site, images)["job"]
        assert job["status"] == "queued"
        assert job["counts"]["total"] == 6
        site.settle()
        job = site.client.get(f"/v1/jobs/{job['id']}").json()
        assert job["status"] == "succeeded"
        assert job["counts"] == {
            "total": 6, "queued": 0, "running": 0, "succeeded": 6,
            "failed": 0, "skipped": 0, "cancelled": 0,
        }  # fmt: skip
        lines = site.client.get(f"/v1/jobs/{job['id']}/results").text.splitlines()
        assert len(lines) == 6

    def test_artefacts_are_index_png_and_confidence(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        site = sqlite_site
        site.add_tiny_model(tmp_path / "m")
        job = post(site, {"a.png": png_bytes(1)}, pipeline='{"select": null}')["job"]
        site.settle()
        item = site.client.get(f"/v1/jobs/{job['id']}/items").json()["items"][0]
        label = site.client.get(f"/v1/labels/{item['label_id']}").json()
        data = site.client.get(label["artifacts"]["label.png"]).content
        image = Image.open(io.BytesIO(data))
        assert image.mode == "P"
        assert image.size == (32, 24)
        assert set(np.unique(np.asarray(image))) <= {0, 1, 2}
        assert label["coverage"] == 1.0
        confidence = np.asarray(
            Image.open(io.BytesIO(site.client.get(label["artifacts"]["confidence.png"]).content))
        )
        assert confidence.dtype == np.uint8
        assert abs(confidence.mean() / 255 - label["quality"]) < 0.005

    def test_zip_and_bad_files_beside_good_ones(
        self, sqlite_site: Installation, tmp_path: Path
    ) -> None:
        site = sqlite_site
        site.add_tiny_model(tmp_path / "m")
        archive = zip_bytes({"in/a.png": png_bytes(1), "in/bad.png": b"no", "b.jpg": jpeg_bytes(2)})
        created = post(site, {"all.zip": archive, "same.png": png_bytes(1), "empty.png": b""})
        statuses = {f["external_id"]: f["status"] for f in created["image_set"]["files"]}
        assert statuses == {
            "in/a.png": "accepted", "in/bad.png": "rejected", "b.jpg": "accepted",
            "same.png": "duplicate", "empty.png": "rejected",
        }  # fmt: skip
        site.settle()
        job = site.client.get(f"/v1/jobs/{created['job']['id']}").json()
        assert job["status"] == "partial"
        assert (job["counts"]["succeeded"], job["counts"]["skipped"]) == (3, 2)
        items = site.client.get(f"/v1/jobs/{job['id']}/items").json()["items"]
        by_name = {i["external_id"]: i for i in items}
        assert by_name["in/a.png"]["label_id"] == by_name["same.png"]["label_id"]
        assert by_name["empty.png"]["error"]["code"] == "empty-file"
