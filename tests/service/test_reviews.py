from typing import Any

import numpy as np
import pytest

from formats.index_png import encode_label_png
from tests.support.api import get_items, get_png, post_images, start_job
from tests.support.images import jpeg_bytes
from tests.support.installation import Installation

PALETTE = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
FILES = {f"{i}.jpg": jpeg_bytes(i, height_px=40, width_px=56) for i in range(3)}


@pytest.fixture
def job(tiny_site: Installation) -> str:
    made = post_images(tiny_site, FILES, pipeline={"select": {"thresholds": 0.4}})["job"]["id"]
    tiny_site.settle()
    return str(made)


def label_of(site: Installation, job: str, name: str = "0.jpg") -> str:
    return str(get_items(site, job)[name]["label_id"])


def queue(site: Installation, **params: Any) -> dict[str, Any]:
    answer = site.client.get("/v1/review", params=params)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def review(site: Installation, label: str, **body: Any) -> Any:
    return site.client.post(f"/v1/labels/{label}:review", json=body)


def correct(site: Installation, label: str, mask: bytes, **fields: str) -> Any:
    files = {"file": ("mask.png", mask)}
    return site.client.post(f"/v1/labels/{label}:review", files=files, data=fields)


def mask_png(value: int = 1, height_px: int = 40, width_px: int = 56) -> bytes:
    mask = np.full((height_px, width_px), value, np.uint8)
    mask[:4] = 255
    return encode_label_png(mask, PALETTE)


class TestQueue:
    def test_pages_and_filters(self, tiny_site: Installation, job: str) -> None:
        whole = queue(tiny_site, job=job)
        assert whole["job"] == job
        gains = [item["expected_gain"] for item in whole["items"]]
        assert len(gains) == 3
        assert gains == sorted(gains, reverse=True)
        assert queue(tiny_site)["items"] == whole["items"]
        image_set = tiny_site.client.get(f"/v1/jobs/{job}").json()["image_set"]
        assert queue(tiny_site, image_set=image_set)["items"] == whole["items"]
        by_quality = queue(tiny_site, job=job, order_by="quality")["items"]
        assert [i["quality"] for i in by_quality] == sorted(i["quality"] for i in by_quality)
        first = queue(tiny_site, job=job, page_size=2)
        rest = queue(tiny_site, job=job, page_size=2, page_token=first["next_page_token"])
        assert first["items"] + rest["items"] == whole["items"]
        assert rest["next_page_token"] is None

    def test_an_entry_says_where_everything_is(self, tiny_site: Installation, job: str) -> None:
        item = queue(tiny_site, job=job)["items"][0]
        for name in ("label", "image", "label.png", "confidence.png"):
            assert tiny_site.client.get(item["links"][name]).status_code == 200, name
        assert item["expected_gain"] == pytest.approx(
            item["coverage"] * (1 - item["quality"]) + (1 - item["coverage"]) / 2
        )

    @pytest.mark.parametrize(
        ("params", "status"),
        [
            ({"order_by": "name"}, 422),
            ({"job": "job_1"}, 422),
            ({"job": "job_01J9Z3N6V1QG8T2B4C5D6E7F8G"}, 404),
            ({"image_set": "set_01J9Z3N6V1QG8T2B4C5D6E7F8G"}, 404),
            ({"page_token": "x"}, 422),
        ],
        ids=str,
    )
    def test_refused(self, tiny_site: Installation, params: dict[str, str], status: int) -> None:
        assert tiny_site.client.get("/v1/review", params=params).status_code == status


class TestReview:
    def test_accept_and_reject(self, tiny_site: Installation, job: str) -> None:
        label = label_of(tiny_site, job)
        answer = review(tiny_site, label, decision="accept", note="good")
        assert answer.status_code == 201, answer.text
        assert answer.json()["decision"] == "accepted"
        assert label not in [item["label"] for item in queue(tiny_site)["items"]]
        assert review(tiny_site, label, decision="reject").status_code == 201
        history = tiny_site.client.get(f"/v1/labels/{label}/reviews").json()["reviews"]
        assert [(r["decision"], r["note"]) for r in history] == [
            ("accepted", "good"),
            ("rejected", None),
        ]

    def test_a_corrected_mask(self, tiny_site: Installation, job: str) -> None:
        label = label_of(tiny_site, job)
        before = get_png(tiny_site, label)
        answer = correct(tiny_site, label, mask_png())
        assert answer.status_code == 201, answer.text
        made = answer.json()["corrected_label"]
        assert answer.headers["location"] == f"/v1/labels/{made}"
        document = tiny_site.client.get(f"/v1/labels/{made}").json()
        assert (document["origin"], document["quality"]) == ("review", 1.0)
        assert (get_png(tiny_site, made)[4:] == 1).all()
        confidence = get_png(tiny_site, made, "confidence.png")
        assert (confidence[4:] == 255).all()
        assert (confidence[:4] == 0).all()
        lineage = tiny_site.client.get(f"/v1/labels/{made}/lineage").json()
        assert (lineage["origin"], lineage["corrected_from"]) == ("review", label)
        assert (get_png(tiny_site, label) == before).all()
        made_by = tiny_site.client.get(f"/v1/labels/{made}/reviews").json()["reviews"]
        assert [r["label"] for r in made_by] == [label]

    def test_an_ignore_value_of_ones_own(self, tiny_site: Installation, job: str) -> None:
        mask = np.full((40, 56), 2, np.uint8)
        mask[:, :5] = 9
        png = encode_label_png(mask, [(i, i, i) for i in range(10)])
        answer = correct(tiny_site, label_of(tiny_site, job), png, stored_ignore_value="9")
        assert answer.status_code == 201, answer.text
        shown = get_png(tiny_site, answer.json()["corrected_label"])
        assert (shown[:, :5] == 255).all()
        assert (shown[:, 5:] == 2).all()

    def test_an_idempotency_key_makes_one(self, tiny_site: Installation, job: str) -> None:
        label = label_of(tiny_site, job)
        path = f"/v1/labels/{label}:review"
        files = {"file": ("mask.png", mask_png())}
        headers = {"Idempotency-Key": "one"}
        first = tiny_site.client.post(path, files=files, headers=headers)
        second = tiny_site.client.post(path, files=files, headers=headers)
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"

    @pytest.mark.parametrize(
        ("mask", "fields", "code"),
        [
            (mask_png(height_px=39), {}, "label-invalid"),
            (encode_label_png(np.full((40, 56), 7, np.uint8), [(0, 0, 0)] * 8), {},
             "label-invalid"),
            (jpeg_bytes(1, height_px=40, width_px=56), {}, "unsupported-media"),
            (b"", {}, None),
            (mask_png(), {"stored_ignore_value": "1"}, "validation-error"),
            (mask_png(), {"stored_ignore_value": "²"}, "validation-error"),
            (mask_png(), {"decision": "accept"}, "validation-error"),
            (mask_png(), {"note": "x" * 2001}, "validation-error"),
            (mask_png(), {"other": "x"}, "validation-error"),
        ],
        ids=["size", "class", "jpeg", "empty", "ignore", "digit", "decision", "note", "field"],
    )  # fmt: skip
    def test_a_bad_mask(
        self,
        tiny_site: Installation,
        job: str,
        mask: bytes,
        fields: dict[str, str],
        code: str | None,
    ) -> None:
        answer = correct(tiny_site, label_of(tiny_site, job), mask, **fields)
        assert answer.status_code in (415, 422), answer.text
        if code is not None:
            assert answer.json()["code"] == code
        assert len(queue(tiny_site, job=job)["items"]) == 3

    @pytest.mark.parametrize(
        "body", [{}, {"decision": "correct"}, {"decision": "accept", "x": 1}, {"decision": None}]
    )
    def test_a_bad_decision(self, tiny_site: Installation, job: str, body: dict[str, Any]) -> None:
        assert review(tiny_site, label_of(tiny_site, job), **body).status_code == 422

    def test_no_such_label(self, tiny_site: Installation) -> None:
        assert review(tiny_site, "lab_x", decision="accept").status_code == 404
        assert correct(tiny_site, "lab_x", mask_png()).status_code == 404
        assert tiny_site.client.get("/v1/labels/lab_x/reviews").status_code == 404


def test_a_label_set_takes_the_correction(tiny_site: Installation, job: str) -> None:
    label = label_of(tiny_site, job)
    made = correct(tiny_site, label, mask_png()).json()["corrected_label"]
    review(tiny_site, label_of(tiny_site, job, "1.jpg"), decision="reject")
    answer = tiny_site.client.post("/v1/label-sets", json={"jobs": [job]})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["images"], answer.json()["reviewed"]) == (2, 1)
    found = tiny_site.client.get(f"/v1/label-sets/{answer.json()['id']}/entries").json()["entries"]
    assert [(e["external_id"], e["label_id"] == made, e["reviewed"]) for e in found] == [
        ("0.jpg", True, True),
        ("2.jpg", False, False),
    ]


def test_a_refined_job_takes_its_labels_into_the_queue(tiny_site: Installation, job: str) -> None:
    refined = start_job(tiny_site, type="refine", labels={"job": job})["id"]
    tiny_site.settle()
    assert len(queue(tiny_site, job=refined)["items"]) == 3
    image_set = tiny_site.client.get(f"/v1/jobs/{job}").json()["image_set"]
    assert queue(tiny_site, image_set=image_set)["job"] == refined
