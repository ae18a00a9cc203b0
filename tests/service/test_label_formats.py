import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from formats.decode import decode_image
from formats.opening import ImageLimits
from formats.overlay import overlay
from service import label_formats
from storage.objects import image_key, label_key
from tests.formats.test_coco_rle import expand, paint
from tests.support.api import get_items, get_png, post_images
from tests.support.images import jpeg_bytes
from tests.support.installation import Installation

NAMES = ["road", "sky", "car"]
PALETTE = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
FILE = jpeg_bytes(3, height_px=40, width_px=56)


@pytest.fixture
def label_id(tiny_site: Installation) -> str:
    """A label with ignored pixels of an image called `night/a.jpg`."""
    pipeline = {"select": {"thresholds": 0.4}}
    job = post_images(tiny_site, {"night/a.jpg": FILE}, pipeline=pipeline)["job"]["id"]
    tiny_site.settle()
    return str(get_items(tiny_site, job)["night/a.jpg"]["label_id"])


def get(site: Installation, label_id: str, label_format: str, **headers: str) -> Any:
    return site.client.get(
        f"/v1/labels/{label_id}",
        params={"format": label_format},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


class TestFormats:
    def test_mask_and_confidence_are_the_stored_files(
        self, tiny_site: Installation, label_id: str
    ) -> None:
        for label_format, name in (("mask", "label.png"), ("confidence", "confidence.png")):
            stored = tiny_site.client.get(f"/v1/labels/{label_id}/artifacts/{name}")
            answer = get(tiny_site, label_id, label_format)
            assert (answer.status_code, answer.content) == (200, stored.content)
            assert answer.headers["content-type"] == "image/png"

    def test_overlay(self, tiny_site: Installation, label_id: str) -> None:
        answer = get(tiny_site, label_id, "overlay")
        assert answer.headers["content-type"] == "image/jpeg"
        shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
        limits = ImageLimits(max_pixels=10**6, max_bytes=10**6)
        label = get_png(tiny_site, label_id)
        assert 0 < (label == 255).sum() < label.size
        wanted = overlay(decode_image(FILE, limits), label, PALETTE).astype(int)
        assert np.abs(shown - wanted).mean() < 8  # JPEG of hard edges
        assert np.abs(shown - decode_image(FILE, limits).astype(int)).mean() > 8

    def test_overlay_in_strips_is_the_overlay(
        self, tiny_site: Installation, label_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = get(tiny_site, label_id, "overlay").content
        monkeypatch.setattr(label_formats, "_STRIP_ROWS", 7)
        assert get(tiny_site, label_id, "overlay").content == whole

    def test_hugging_face(self, tiny_site: Installation, label_id: str) -> None:
        entries = get(tiny_site, label_id, "hf").json()
        label = get_png(tiny_site, label_id)
        present = [i for i in range(3) if (label == i).any()]
        assert [entry["label"] for entry in entries] == [NAMES[i] for i in present]
        assert len(present) >= 2
        for entry, class_id in zip(entries, present, strict=True):
            assert set(entry) == {"score", "label", "mask"}
            assert entry["score"] is None
            mask = Image.open(io.BytesIO(base64.b64decode(entry["mask"])))
            assert mask.mode == "L"
            assert (np.asarray(mask) == np.where(label == class_id, 255, 0)).all()

    def test_coco(self, tiny_site: Installation, label_id: str) -> None:
        document = get(tiny_site, label_id, "coco").json()
        label = get_png(tiny_site, label_id)
        confidence = get_png(tiny_site, label_id, "confidence.png")
        assert document["images"] == [
            {"id": 1, "file_name": "night/a.jpg", "width": 56, "height": 40}
        ]
        assert [(c["id"], c["name"], c["supercategory"]) for c in document["categories"]] == [
            (1, "road", "stuff"), (2, "sky", "stuff"), (3, "car", "thing"),
        ]  # fmt: skip
        seen = np.full(label.shape, 255, np.uint8)
        for number, region in enumerate(document["annotations"], start=1):
            mask = paint(40, 56, expand(region["segmentation"]["counts"]))
            seen[mask] = region["category_id"] - 1
            ys, xs = np.nonzero(mask)
            assert region["id"] == number
            assert region["segmentation"]["size"] == [40, 56]
            assert (region["image_id"], region["iscrowd"], region["area"]) == (1, 0, mask.sum())
            assert region["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert region["score"] == pytest.approx(confidence[mask].mean() / 255, abs=1e-5)
            assert region["attributes"] == {"label": label_id}
        assert (seen == label).all()

    def test_an_empty_label(self, tiny_site: Installation) -> None:
        pipeline = {"select": {"thresholds": 1.0}}
        job = post_images(tiny_site, {"a.jpg": FILE}, pipeline=pipeline)["job"]["id"]
        tiny_site.settle()
        label_id = get_items(tiny_site, job)["a.jpg"]["label_id"]
        assert (get_png(tiny_site, label_id) == 255).all()
        assert get(tiny_site, label_id, "hf").json() == []
        assert get(tiny_site, label_id, "coco").json()["annotations"] == []
        assert get(tiny_site, label_id, "overlay").status_code == 200


class TestAnswers:
    @pytest.mark.parametrize("label_format", ["mask", "confidence", "overlay", "hf", "coco"])
    def test_etags(self, tiny_site: Installation, label_id: str, label_format: str) -> None:
        etag = get(tiny_site, label_id, label_format).headers["etag"]
        again = get(tiny_site, label_id, label_format, If_None_Match=etag)
        assert (again.status_code, again.content) == (304, b"")
        others = {"mask", "overlay", "hf", "coco"} - {label_format}
        assert etag not in {get(tiny_site, label_id, o).headers["etag"] for o in others}

    def test_etags_of_documents(self, tiny_site: Installation, label_id: str) -> None:
        for path in (f"/v1/labels/{label_id}", f"/v1/labels/{label_id}/lineage"):
            etag = tiny_site.client.get(path).headers["etag"]
            again = tiny_site.client.get(path, headers={"If-None-Match": etag})
            assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize("label_format", ["ls", "soft", "", "MASK", "mask,hf"])
    def test_formats_that_do_not_exist(
        self, tiny_site: Installation, label_id: str, label_format: str
    ) -> None:
        answer = get(tiny_site, label_id, label_format)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
        assert "'mask', 'confidence', 'overlay', 'hf' or 'coco'" in answer.text

    def test_unknown_label(self, tiny_site: Installation) -> None:
        for path in ("lab_x", "lab_x?format=hf", "lab_x/lineage"):
            answer = tiny_site.client.get(f"/v1/labels/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")

    @pytest.mark.parametrize("label_format", ["mask", "overlay", "hf", "coco"])
    def test_a_file_that_the_store_lost(
        self, tiny_site: Installation, label_id: str, label_format: str
    ) -> None:
        label = tiny_site.client.get(f"/v1/labels/{label_id}").json()
        tiny_site.objects.delete(
            [label_key(label["digest"], "label.png"), image_key(label["image_digest"])]
        )
        answer = get(tiny_site, label_id, label_format)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "not in the object store any more" in answer.json()["detail"]


class TestLineage:
    def test_everything_that_it_depends_on(self, site: Installation, tmp_path: Path) -> None:
        site.add_tiny_model(tmp_path / "tiny")
        config = {"select": {"keep_fraction": 0.6}, "seed": 5}
        named = site.client.post("/v1/pipelines", json={"name": "night", "config": config}).json()
        jobs = []
        for name in ("a.jpg", "b.jpg"):
            jobs.append(post_images(site, {name: FILE}, pipeline=config)["job"]["id"])
            site.settle()
        label_id = get_items(site, jobs[0])["a.jpg"]["label_id"]
        label = site.client.get(f"/v1/labels/{label_id}").json()
        lineage = site.client.get(f"/v1/labels/{label_id}/lineage").json()
        version = site.client.get("/v1/models/tiny/versions/1").json()
        assert lineage["digest"] == label["digest"]
        assert (lineage["model"], lineage["model_digest"]) == ("tiny:1", version["digest"])
        assert lineage["pipeline_digest"] == named["digest"]
        assert lineage["pipeline"] == named["config"]
        assert lineage["pipeline_names"] == ["night@1"]
        assert lineage["stage_versions"] == {"predict": 1, "select": 1}
        assert lineage["pilot_fit"] == label["lineage"]["pilot_fit"]
        assert lineage["pilot_fit"] is not None
        assert (lineage["seed"], lineage["precision"]) == (5, label["lineage"]["precision"])
        assert [(j["job"], j["external_id"]) for j in lineage["jobs"]] == [
            (jobs[0], "a.jpg"), (jobs[1], "b.jpg"),
        ]  # fmt: skip
        assert not lineage["more_jobs"]
        for link in lineage["links"].values():
            assert site.client.get(link).status_code == 200
        site.client.delete(f"/v1/jobs/{jobs[0]}")
        lineage = site.client.get(f"/v1/labels/{label_id}/lineage").json()
        assert [j["job"] for j in lineage["jobs"]] == [jobs[1]]
