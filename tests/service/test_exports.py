"""Exports over HTTP, of labels that a real model made, written by the light worker's own code."""

import io
import json
import zipfile
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from api_schemas.exports import ExportFormat
from domain.collector import Collector
from domain.settings import Settings
from formats.exports.registry import FORMATS
from storage.catalog.labels import get_label
from storage.catalog.tables import JobRow
from tests.support.api import get_job, get_png, index_png, post_annotations, post_images
from tests.support.images import jpeg_bytes, png_bytes
from tests.support.installation import Installation
from workers import export as export_worker

FILES = {"night/0.png": png_bytes(0), "night/1.jpg": jpeg_bytes(1), "2.png": png_bytes(2)}


def labelled(site: Installation, files: dict[str, bytes] | None = None) -> dict[str, Any]:
    posted = post_images(site, files or FILES)
    site.settle()
    return posted


def post(site: Installation, source: dict[str, str], form: str = "mask-png", **body: Any) -> Any:
    headers = body.pop("headers", None)
    content = {"format": form, "source": source, **body}
    return site.client.post("/v1/exports", json=content, headers=headers)


def exported(site: Installation, source: dict[str, str], form: str, **body: Any) -> dict[str, Any]:
    answer = post(site, source, form, **body)
    assert answer.status_code == 202, answer.text
    site.settle()
    found: dict[str, Any] = site.client.get(answer.headers["Location"]).json()
    return found


def archive_of(site: Installation, export: dict[str, Any]) -> zipfile.ZipFile:
    answer = site.client.get(export["links"]["download"])
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


def pixels(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(archive.read(name))))


def test_every_format_of_the_wire_has_an_exporter():
    assert get_args(ExportFormat) == FORMATS


class TestExports:
    def test_asked_for_followed_and_downloaded(self, both_site: Installation) -> None:
        job = labelled(both_site)["job"]["id"]
        answer = post(both_site, {"job": job})
        assert answer.status_code == 202, answer.text
        address = answer.headers["Location"]
        begun = answer.json()
        assert (begun["status"], begun["done"], begun["report"]) == ("running", False, None)
        assert "download" not in begun["links"]
        assert both_site.client.get(f"{address}/file").json()["code"] == "state-conflict"
        both_site.settle()

        done = both_site.client.get(address).json()
        assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", 3)
        assert done["report"]["labels"] == 3
        assert done["report"]["lossless"] is True
        archive = archive_of(both_site, done)
        assert sorted(archive.namelist()) == [
            "classes.json", "confidence/2.png", "confidence/night/0.png", "confidence/night/1.png",
            "export.json", "labels/2.png", "labels/night/0.png", "labels/night/1.png",
        ]  # fmt: skip
        assert done["files"] == len(archive.namelist())
        label = both_site.client.get(f"/v1/jobs/{job}/items").json()["items"][0]
        np.testing.assert_array_equal(
            pixels(archive, "labels/night/0.png"), get_png(both_site, label["label_id"])
        )
        items = both_site.client.get(done["links"]["items"]).json()["items"]
        assert [item["file_name"] for item in items] == ["night/0", "night/1", "2"]
        assert get_job(both_site, done["id"])["type"] == "export"
        assert both_site.client.get("/v1/exports").json()["exports"] == [done]
        events = both_site.client.get(done["links"]["events"]).text
        assert "event: job.done" in events

    def test_every_format(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        options = {"include_images": True, "components": True, "class_map": {"sky": "sky"}}
        for form in FORMATS:
            export = exported(tiny_site, {"job": job}, form, options=options)
            assert export["status"] == "succeeded", (form, export)
            with archive_of(tiny_site, export) as archive:
                assert len(archive.namelist()) >= 4

    def test_an_exported_label_comes_back(self, tiny_site: Installation) -> None:
        posted = labelled(tiny_site)
        export = exported(tiny_site, {"job": posted["job"]["id"]}, "mask-png")
        archive = archive_of(tiny_site, export)
        labels = {
            name.removeprefix("labels/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("labels/")
        }
        answer = post_annotations(
            tiny_site, posted["image_set"]["id"], labels, purpose="initial",
            classes=archive.read("classes.json"),
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        assert answer.json()["accepted"] == 3

    def test_the_newest_labels_of_an_image_set(self, tiny_site: Installation) -> None:
        posted = labelled(tiny_site)
        body = {"type": "refine", "labels": {"job": posted["job"]["id"]},
                "pipeline": {"select": {"thresholds": 0.99}}}  # fmt: skip
        tiny_site.client.post("/v1/jobs", json=body)
        tiny_site.settle()
        source = {"image_set": posted["image_set"]["id"]}
        newest = exported(tiny_site, source, "mask-png")
        label = pixels(archive_of(tiny_site, newest), "labels/2.png")
        assert (label == 255).any()  # argmax of the first job left nothing out

    def test_label_sets_with_labels_by_people(self, tiny_site: Installation) -> None:
        posted = labelled(tiny_site)
        truth = np.zeros((24, 32), np.uint8)
        truth[:5] = 1
        people = post_annotations(
            tiny_site, posted["image_set"]["id"], {"2.png": index_png(truth)}, purpose="initial"
        ).json()["id"]
        body = {"jobs": [posted["job"]["id"]], "annotation_set": people}
        made = tiny_site.client.post("/v1/label-sets", json=body).json()
        source = {"label_set": made["id"]}
        whole = exported(tiny_site, source, "coco")
        assert whole["report"]["labels"] == 3
        only = exported(tiny_site, source, "mask-png", filters={"reviewed_only": True})
        assert only["report"]["left_out"] == {"not-reviewed": 2}
        np.testing.assert_array_equal(pixels(archive_of(tiny_site, only), "labels/2.png"), truth)
        nobody = exported(
            tiny_site, source, "mask-png", filters={"reviewed_only": True, "classes": ["car"]}
        )
        assert nobody["error"]["code"] == "nothing-to-export"

    def test_what_people_decided(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        items = tiny_site.client.get(f"/v1/jobs/{job}/items").json()["items"]
        accepted, rejected, corrected = (item["label_id"] for item in items)
        for label, decision in ((accepted, "accept"), (rejected, "reject")):
            address = f"/v1/labels/{label}:review"
            answer = tiny_site.client.post(address, json={"decision": decision})
            assert answer.status_code < 300, answer.text
        mask = np.full((24, 32), 2, np.uint8)
        files = {"file": ("mask.png", index_png(mask))}
        tiny_site.client.post(f"/v1/labels/{corrected}:review", files=files)
        for source in ({"job": job}, {"image_set": get_job(tiny_site, job)["image_set"]}):
            filters = {"reviewed_only": True, "min_quality": 1.0}
            export = exported(tiny_site, source, "mask-png", filters=filters)
            assert export["report"]["left_out"] == {"rejected": 1}
            archive = archive_of(tiny_site, export)
            np.testing.assert_array_equal(pixels(archive, "labels/2.png"), mask)
            assert "labels/night/0.png" in archive.namelist()

    def test_filters(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        items = tiny_site.client.get(f"/v1/jobs/{job}/items").json()["items"]
        qualities = sorted(item["quality"] for item in items)
        best = exported(tiny_site, {"job": job}, "mask-png", filters={"min_quality": qualities[1]})
        assert best["report"]["labels"] == 2
        assert best["report"]["left_out"] == {"low-quality": 1}
        assert best["status"] == "succeeded"
        assert best["counts"]["total"] == 2

        shown = pixels(archive_of(tiny_site, best), next(
            name for name in archive_of(tiny_site, best).namelist() if name.startswith("labels")
        ))  # fmt: skip
        one_class = ["road", "sky", "car"][int(np.bincount(shown.ravel(), minlength=3).argmax())]
        some = exported(tiny_site, {"job": job}, "mask-png", filters={"classes": [one_class]})
        archive = archive_of(tiny_site, some)
        for name in (n for n in archive.namelist() if n.startswith("labels/")):
            assert len(set(np.unique(pixels(archive, name))) - {255}) == 1
            confidence = pixels(archive, name.replace("labels/", "confidence/"))
            assert (confidence[pixels(archive, name) == 255] == 0).all()
        assert [x["code"] for x in some["report"]["losses"] if x["is_loss"]] == ["classes-left-out"]


class TestDryRunAndStrict:
    def test_a_dry_run_says_what_would_be_lost(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        body = {"format": "cityscapes", "source": {"job": job},
                "filters": {"min_quality": 0.999, "classes": ["road", "car"]}}  # fmt: skip
        report = tiny_site.client.post("/v1/exports:validate", json=body).json()
        assert report["labels"] + sum(report["left_out"].values()) == 3
        assert report["lossless"] is False
        assert {x["code"] for x in report["losses"]} == {
            "classes-left-out", "components-are-instances", "confidence-left-out",
        }  # fmt: skip
        assert tiny_site.client.get("/v1/exports").json()["exports"] == []

    def test_strict_refuses_what_is_known_at_once(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        strict = {"Prefer": "handling=strict"}
        filters = {"classes": ["road"]}
        answer = post(tiny_site, {"job": job}, "coco", filters=filters, headers=strict)
        assert answer.status_code == 422
        assert answer.json()["code"] == "export-lossy-refused"
        assert "classes-left-out" in answer.json()["errors"][0]["pointer"]
        taken = post(tiny_site, {"job": job}, "coco", headers=strict)
        assert taken.status_code == 202
        assert taken.headers["Preference-Applied"] == "handling=strict"

    def test_strict_fails_on_what_is_found_later(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site, {"a.png": png_bytes(0), "a.jpg": jpeg_bytes(1)})["job"]["id"]
        lenient = exported(tiny_site, {"job": job}, "mask-png")
        (loss,) = [x for x in lenient["report"]["losses"] if x["is_loss"]]
        assert (loss["code"], loss["labels"]) == ("names-changed", 1)
        assert "labels/a_2.png" in archive_of(tiny_site, lenient).namelist()
        headers = {"Prefer": "handling=strict"}
        strict = exported(tiny_site, {"job": job}, "mask-png", headers=headers)
        assert (strict["status"], strict["error"]["code"]) == ("failed", "export-lossy-refused")
        assert "download" not in strict["links"]


class TestRefused:
    def test_what_cannot_be_meant(self, tiny_site: Installation) -> None:
        posted = post_images(tiny_site, FILES)
        job = posted["job"]["id"]
        unfinished = post(tiny_site, {"job": job})
        assert unfinished.json()["code"] == "state-conflict"
        nothing = post(tiny_site, {"image_set": posted["image_set"]["id"]})
        assert nothing.json()["code"] == "state-conflict"
        tiny_site.settle()
        for body in (
            {"filters": {"classes": ["sea"]}},
            {"form": "cityscapes", "options": {"class_map": {"road": "sea"}}},
            {"form": "cityscapes", "options": {"class_map": {"sea": "road"}}},
            {"form": "jpeg"},
            {"options": {"split": "../up"}},
            {"options": {"city": "a_b"}},
            {"destination": {"connection": "x", "prefix": "a/../b/"}},
            {"destination": {"connection": "x", "prefix": "no-slash"}},
        ):
            assert post(tiny_site, {"job": job}, **body).status_code == 422, body
        assert post(tiny_site, {"job": job, "label_set": "lbs_" + "0" * 26}).status_code == 422
        assert post(tiny_site, {"job": "job_" + "0" * 26}).status_code == 404
        nowhere = post(tiny_site, {"job": job}, destination={"connection": "x", "prefix": "a/"})
        assert nowhere.status_code == 404
        assert tiny_site.client.get(f"/v1/exports/{job}").status_code == 404

    def test_an_export_is_no_source_and_not_retried(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        export = exported(tiny_site, {"job": job}, "coco")
        assert post(tiny_site, {"job": export["id"]}).json()["code"] == "state-conflict"
        retried = tiny_site.client.post(f"/v1/jobs/{export['id']}:retry")
        assert retried.json()["code"] == "state-conflict"

    def test_the_same_request_again(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        key = {"Idempotency-Key": "once"}
        first = post(tiny_site, {"job": job}, headers=key)
        again = post(tiny_site, {"job": job}, headers=key)
        assert again.json()["id"] == first.json()["id"]
        other = post(tiny_site, {"job": job}, headers={**key, "Prefer": "handling=strict"})
        assert other.json()["code"] == "idempotency-key-reused"


class TestFailures:
    def test_a_label_whose_file_is_gone_harms_no_other(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        with tiny_site.catalog.read() as session:
            label_id = tiny_site.client.get(f"/v1/jobs/{job}/items").json()["items"][1]["label_id"]
            row = get_label(session, label_id)
            assert row is not None
            tiny_site.objects.delete([row.artifacts["label.png"]])
        export = exported(tiny_site, {"job": job}, "coco")
        assert (export["status"], export["counts"]["failed"]) == ("partial", 1)
        items = tiny_site.client.get(export["links"]["items"]).json()["items"]
        assert [item["status"] for item in items] == ["succeeded", "failed", "succeeded"]
        assert items[1]["external_id"] == "night/1.jpg"
        assert items[1]["error"]["code"] == "not-found"
        document = json.loads(
            archive_of(tiny_site, export).read("annotations/instances_train.json")
        )
        assert [image["id"] for image in document["images"]] == [1, 3]

    def test_cancelled_half_way_leaves_no_file(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = labelled(tiny_site)["job"]["id"]
        address = post(tiny_site, {"job": job}).headers["Location"]
        monkeypatch.setattr(export_worker, "COMMIT_ITEMS", 1)
        through = export_worker._Walk._through

        def cancel_after_the_first(walk: Any, encoded: Any) -> None:
            through(walk, encoded)
            tiny_site.client.post(f"{address}:cancel")

        monkeypatch.setattr(export_worker._Walk, "_through", cancel_after_the_first)
        tiny_site.settle()
        export = tiny_site.client.get(address).json()
        assert (export["status"], export["report"]) == ("cancelled", None)
        assert sum(v for k, v in export["counts"].items() if k != "total") == 3
        assert "download" not in export["links"]
        assert tiny_site.client.get(f"{address}/file").status_code == 409
        assert list(tiny_site.objects.list("exports")) == []

    def test_who_takes_over_begins_anew(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = labelled(tiny_site)["job"]["id"]
        address = post(tiny_site, {"job": job}).headers["Location"]
        monkeypatch.setattr(export_worker, "COMMIT_ITEMS", 1)
        through = export_worker._Walk._through
        seen: list[str] = []

        def die_over_the_second(walk: Any, encoded: Any) -> None:
            through(walk, encoded)
            seen.append(encoded.external_id)
            if len(seen) == 2:
                raise RuntimeError("as if the worker had died")

        monkeypatch.setattr(export_worker._Walk, "_through", die_over_the_second)
        tiny_site.settle()
        export = tiny_site.client.get(address).json()
        assert seen == ["night/0.png", "night/1.jpg", "night/0.png", "night/1.jpg", "2.png"]
        assert (export["status"], export["counts"]["succeeded"]) == ("succeeded", 3)
        items = tiny_site.client.get(export["links"]["items"]).json()["items"]
        assert [item["position"] for item in items] == [0, 1, 2]
        assert [facts.key for facts in tiny_site.objects.list("exports")] == [
            f"exports/{export['id']}/2.zip"
        ]

    def test_a_worker_that_dies_each_time_fails_the_export(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = labelled(tiny_site)["job"]["id"]

        def die(*_: Any) -> None:
            raise RuntimeError("as if the worker had died")

        monkeypatch.setattr(export_worker._Walk, "_through", die)
        export = exported(tiny_site, {"job": job}, "coco")
        assert (export["status"], export["error"]["code"]) == ("failed", "worker-lost")


class TestKeptForATime:
    def test_gone_when_its_time_is_over(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        export = exported(tiny_site, {"job": job}, "coco")
        collector = Collector(tiny_site.catalog, tiny_site.objects, 0.0, 0.0)
        collector.mark("exports")
        collector.delete_due()
        assert archive_of(tiny_site, export)
        with tiny_site.catalog.write() as session:
            row = session.get(JobRow, export["id"])
            assert row is not None
            row.params = {**row.params, "expires_at": 1.0}
        assert tiny_site.client.get(export["links"]["download"]).status_code == 410
        collector.mark("exports")
        collector.delete_due()
        assert list(tiny_site.objects.list("exports")) == []

    def test_deleted_with_its_file(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        export = exported(tiny_site, {"job": job}, "coco")
        assert tiny_site.client.delete(export["links"]["self"]).status_code == 204
        assert tiny_site.client.get(export["links"]["self"]).status_code == 410
        assert tiny_site.client.get(export["links"]["download"]).status_code == 410
        collector = Collector(tiny_site.catalog, tiny_site.objects, 0.0, 0.0)
        collector.mark("exports")
        collector.delete_due()
        assert list(tiny_site.objects.list("exports")) == []

    def test_what_is_being_exported_is_not_deleted(self, tiny_site: Installation) -> None:
        job = labelled(tiny_site)["job"]["id"]
        export = post(tiny_site, {"job": job}).json()
        refused = tiny_site.client.delete(f"/v1/jobs/{job}")
        assert refused.status_code == 409
        assert export["id"] in refused.text
        tiny_site.settle()
        assert tiny_site.client.delete(f"/v1/jobs/{job}").status_code == 204


def test_the_time_is_a_setting():
    assert Settings().keep_export_days == 7.0
