"""Corrected labels come back: each format, pixel for pixel, and what cannot be used."""

import json
from typing import Any

import numpy as np
import pytest

from formats.coco_rle import encode_mask
from formats.corrected_masks import encode_corrected
from formats.index_png import encode_label_png
from formats.label_studio_brush import encode_brush
from tests.formats.corrections.test_readers import rgb_png
from tests.support.api import get_items, get_job, get_png, post_images, post_set
from tests.support.images import jpeg_bytes, zip_bytes
from tests.support.installation import Installation
from workers import import_labels

NAMES = ["road", "sky", "car"]
PALETTE = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
SHAPE = (24, 32)
FILES = {f"night/{i}.jpg": jpeg_bytes(i, height_px=24, width_px=32) for i in range(4)}


def mask_of(seed: int) -> np.ndarray:
    mask = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)
    mask[mask == 3] = 255
    return mask


MASKS = {f"night/{i}": mask_of(i) for i in range(3)}


def index_pngs(masks: dict[str, np.ndarray]) -> bytes:
    files = {f"{name}.png": encode_label_png(mask, PALETTE) for name, mask in masks.items()}
    classes = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    return zip_bytes({"classes.json": json.dumps({"classes": classes}).encode(), **files})


def cvat(masks: dict[str, np.ndarray]) -> bytes:
    lines = [f"{n}:{','.join(map(str, c))}::" for n, c in zip(NAMES, PALETTE, strict=True)]
    files = {
        f"SegmentationClass/{name}.png": rgb_png(mask, dict(enumerate(PALETTE)))
        for name, mask in masks.items()
    }
    return zip_bytes({"labelmap.txt": "\n".join(["background:0,0,0::", *lines]).encode(), **files})


def coco(masks: dict[str, np.ndarray]) -> bytes:
    document = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(masks)],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [
            {"image_id": i, "category_id": c + 1, "segmentation": encode_mask(mask == c)}
            for i, mask in enumerate(masks.values())
            for c in range(3)
        ],
    }
    return json.dumps(document).encode()


def label_studio(masks: dict[str, np.ndarray]) -> bytes:
    def regions(mask: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"type": "brushlabels", "original_width": 32, "original_height": 24,
             "value": {"format": "rle", "rle": encode_brush(mask == c), "brushlabels": [name]}}
            for c, name in enumerate(NAMES)
        ]  # fmt: skip

    tasks = [
        {"id": i, "data": {"image": f"s3://bucket/{name}.jpg"},
         "annotations": [{"id": i, "result": regions(mask)}]}
        for i, (name, mask) in enumerate(masks.items())
    ]  # fmt: skip
    return json.dumps(tasks).encode()


WRITERS = {"index_png": index_pngs, "cvat": cvat, "coco": coco, "label_studio": label_studio}


@pytest.fixture
def job(tiny_site: Installation) -> str:
    made = post_images(tiny_site, FILES)["job"]["id"]
    tiny_site.settle()
    return str(made)


def set_of(site: Installation, job: str) -> str:
    return str(get_job(site, job)["image_set"])


def start(site: Installation, image_set: str, kind: str, data: bytes, **fields: str) -> Any:
    files = {"file": ("labels", data)}
    return site.client.post(
        "/v1/imports", files=files, data={"image_set": image_set, "format": kind, **fields}
    )


def imported(site: Installation, job: str, kind: str, data: bytes, **fields: str) -> dict[str, Any]:
    answer = start(site, set_of(site, job), kind, data, **fields)
    assert answer.status_code == 202, answer.text
    site.settle()
    return get_job(site, answer.json()["id"])


def reasons(site: Installation, made: dict[str, Any]) -> dict[str, str]:
    items = site.client.get(f"/v1/jobs/{made['id']}/items").json()["items"]
    return {i["file_name"]: i["error"]["detail"] for i in items if i["error"]}


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_format_comes_back_pixel_for_pixel(
    tiny_site: Installation, job: str, kind: str
) -> None:
    made = imported(tiny_site, job, kind, WRITERS[kind](MASKS))
    assert made["status"] == "succeeded", made
    assert made["result"]["reviewed"] == 3
    items = get_items(tiny_site, made["id"])
    assert set(items) == {f"{name}.jpg" for name in MASKS}
    before = get_items(tiny_site, job)
    for name, mask in MASKS.items():
        label = items[f"{name}.jpg"]["label_id"]
        assert (get_png(tiny_site, label) == mask).all(), name
        lineage = tiny_site.client.get(f"/v1/labels/{label}/lineage").json()
        assert lineage["corrected_from"] == before[f"{name}.jpg"]["label_id"]
        (review,) = tiny_site.client.get(f"/v1/labels/{label}/reviews").json()["reviews"]
        assert (review["decision"], review["source"], review["job"]) == (
            "corrected",
            "import",
            made["id"],
        )
    left = tiny_site.client.get("/v1/review", params={"job": job}).json()["items"]
    assert [item["external_id"] for item in left] == ["night/3.jpg"]
    frozen = tiny_site.client.post(
        "/v1/label-sets", json={"jobs": [job], "selection": {"reviewed_only": True}}
    ).json()
    assert (frozen["images"], frozen["reviewed"]) == (3, 3)


def test_what_was_left_as_it_is_counts_as_accepted(tiny_site: Installation, job: str) -> None:
    before = get_items(tiny_site, job)
    same = get_png(tiny_site, before["night/0.jpg"]["label_id"])
    data = index_pngs({"night/0": same, "night/1": MASKS["night/1"]})
    made = imported(tiny_site, job, "index_png", data)
    items = get_items(tiny_site, made["id"])
    assert items["night/0.jpg"]["label_id"] == before["night/0.jpg"]["label_id"]
    assert items["night/1.jpg"]["label_id"] != before["night/1.jpg"]["label_id"]
    again = imported(tiny_site, job, "index_png", data)
    assert (
        get_items(tiny_site, again["id"])["night/1.jpg"]["label_id"]
        == (items["night/1.jpg"]["label_id"])
    )


def test_masks_that_cannot_be_used_harm_no_other(tiny_site: Installation, job: str) -> None:
    data = index_pngs(
        {
            "night/0": MASKS["night/0"],
            "night/1": np.zeros((9, 9), np.uint8),
            "0": MASKS["night/1"],
            "other": MASKS["night/1"],
            "night/3": np.full(SHAPE, 255, np.uint8),
            "../../night/2": MASKS["night/2"],
        }
    )
    made = imported(tiny_site, job, "index_png", data)
    assert made["status"] == "partial"
    assert made["counts"]["failed"] == 5 - made["counts"]["succeeded"] + 1
    found = reasons(tiny_site, made)
    assert "9×9 pixels, its image 32×24" in found["night/1.png"]
    assert "Another mask" in found["0.png"]
    assert "No image of the set" in found["other.png"]
    assert "no pixel with a class" in found["night/3.png"]
    assert all(".." not in name for name in found)


def test_unknown_classes(tiny_site: Installation, job: str) -> None:
    data = coco({"night/0": MASKS["night/0"]}).replace(b'"car"', b'"dragon"')
    refused = imported(tiny_site, job, "coco", data)
    assert refused["status"] == "failed"
    assert "no class 'dragon'" in next(iter(reasons(tiny_site, refused).values()))
    taken = imported(tiny_site, job, "coco", data, unknown_classes="ignore")
    assert taken["status"] == "succeeded"
    label = get_items(tiny_site, taken["id"])["night/0.jpg"]["label_id"]
    expected = np.where(MASKS["night/0"] == 2, 255, MASKS["night/0"])
    assert (get_png(tiny_site, label) == expected).all()


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("cvat", b"no zip", "not-an-archive"),
        ("coco", b"{}", "manifest-invalid"),
        ("label_studio", b"[]", "no-usable-image"),
        ("cvat", zip_bytes({"a.txt": b""}), "classes-invalid"),
    ],
)
def test_a_file_that_cannot_be_read(
    tiny_site: Installation, job: str, kind: str, data: bytes, code: str
) -> None:
    made = imported(tiny_site, job, kind, data)
    assert (made["status"], made["error"]["code"]) == ("failed", code)


def test_a_worker_that_fails_in_the_middle_loses_nothing(
    tiny_site: Installation, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("cut off")
        return encode_corrected(*arguments)

    monkeypatch.setattr(import_labels, "encode_corrected", failing)
    monkeypatch.setattr(import_labels, "BATCH_MASKS", 1)
    made = imported(tiny_site, job, "coco", coco(MASKS))
    assert made["status"] == "succeeded"
    assert made["counts"]["total"] == made["counts"]["succeeded"] == 3
    assert len(calls) == 4  # the two that were committed are not read again
    for item in get_items(tiny_site, made["id"]).values():
        history = tiny_site.client.get(f"/v1/labels/{item['label_id']}/reviews").json()
        assert len(history["reviews"]) == 1


class TestRefused:
    def test_images_that_no_job_has_labelled(self, tiny_site: Installation) -> None:
        image_set = post_set(tiny_site, FILES)["id"]
        answer = start(tiny_site, image_set, "coco", coco(MASKS))
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing-to-correct")

    def test_a_job_of_other_images(self, tiny_site: Installation, job: str) -> None:
        image_set = post_set(tiny_site, FILES)["id"]
        answer = start(tiny_site, image_set, "coco", coco(MASKS), job=job)
        assert answer.status_code == 409

    @pytest.mark.parametrize(
        "fields",
        [{"format": "voc"}, {"image_set": "x"}, {"unknown_classes": "maybe"}, {"metadata": "{"}],
    )
    def test_bad_fields(self, tiny_site: Installation, fields: dict[str, str]) -> None:
        data = {"image_set": "set_01J9Z3N6V1QG8T2B4C5D6E7F8G", "format": "coco", **fields}
        answer = tiny_site.client.post("/v1/imports", files={"file": ("a", b"x")}, data=data)
        assert answer.status_code == 422

    def test_an_import_is_not_retried(self, tiny_site: Installation, job: str) -> None:
        made = imported(tiny_site, job, "coco", coco(MASKS))
        answer = tiny_site.client.post(f"/v1/jobs/{made['id']}:retry", json={"only": "all"})
        assert answer.status_code == 409
        assert "/v1/imports" in answer.json()["detail"]
