"""Image sets from elsewhere: URLs, buckets, manifests, uploads, through API, scheduler, worker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.image_sets import BATCH_FILES
from tests.support.api import get_job, nonzero
from tests.support.http_server import serve
from tests.support.images import jpeg_bytes, png_bytes, zip_bytes
from tests.support.ingest import (
    ask,
    ask_urls,
    connect,
    entries,
    get_set,
    open_site,
    put,
    told,
    upload_file,
)
from tests.support.installation import Installation
from tests.support.keys import make_key
from tests.support.rows import assert_consistent
from tests.support.s3 import S3Server


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    with open_site(catalog_url, tmp_path / "data") as opened:
        yield opened


class TestUrls:
    def test_a_set_from_urls_is_filled_and_can_be_labelled(
        self, site: Installation, tmp_path: Path
    ) -> None:
        pages = {f"/night/{i}.png": png_bytes(i) for i in range(5)}
        with serve(pages) as web:
            asked = ask_urls(site, web, *pages)
            assert asked["image_set"]["status"] == "receiving"
            assert asked["image_set"]["source"] == {"type": "urls", "count": 5}
            assert nonzero(asked["job"]["counts"]) == {"total": 5, "queued": 5}
            early = site.client.post(
                "/v1/jobs",
                json={"type": "generate", "image_set": asked["image_set"]["id"], "model": "tiny"},
            )
            assert (early.status_code, early.json()["code"]) == (409, "state-conflict")
            site.settle()
        job = get_job(site, asked["job"]["id"])
        assert job["status"] == "succeeded"
        assert nonzero(job["counts"]) == {"total": 5, "succeeded": 5}
        assert job["result"] == {
            "image_set": asked["image_set"]["id"], "accepted": 5, "duplicate": 0, "rejected": 0,
        }  # fmt: skip
        assert get_set(site, asked)["status"] == "ready"
        assert told(site, asked) == {f"{i}.png": "accepted" for i in range(5)}
        assert_consistent(site.catalog, job["id"])
        site.add_tiny_model(tmp_path / "model")
        body = {
            "type": "generate",
            "image_set": asked["image_set"]["id"],
            "model": "tiny",
            "pipeline": {"select": None},
        }
        started = site.client.post("/v1/jobs", json=body).json()
        site.settle()
        assert get_job(site, started["id"])["counts"]["succeeded"] == 5

    def test_each_bad_url_harms_one_file(self, site: Installation) -> None:
        pages = {
            "/good.png": png_bytes(1),
            "/same.png": png_bytes(1),
            "/text.png": b"no image at all",
            "/empty.png": b"",
            "/later.png": png_bytes(2),
        }
        with serve(pages) as web:
            urls = [web.url + path for path in pages]
            bad = [
                f"{web.url}/gone.png",
                "file:///etc/passwd",
                "http://169.254.169.254/latest/meta-data",
                "http://[::1]:1/a.png",
                "nonsense",
            ]
            asked = ask(site, {"type": "urls", "urls": urls[:2] + bad + urls[2:]})
            site.settle()
        job = assert_consistent(site.catalog, asked["job"]["id"])
        assert (job.status, job.succeeded, job.failed, job.total) == ("partial", 3, 7, 10)
        assert told(site, asked) == {
            "good.png": "accepted",
            "same.png": "duplicate",
            "gone.png": "source-missing",
            "passwd": "source-refused",
            "meta-data": "source-refused",
            "a.png": "source-refused",
            "nonsense": "source-refused",
            "text.png": "not-an-image",
            "empty.png": "empty-file",
            "later.png": "accepted",
        }
        items = site.client.get(f"/v1/jobs/{job.id}/items?status=failed").json()["items"]
        assert len(items) == 7
        assert all(item["error"]["detail"] for item in items)
        assert get_set(site, asked)["status"] == "ready"

    def test_names_of_the_owner(self, site: Installation) -> None:
        with serve({"/a.png": png_bytes(1), "/b.png": png_bytes(2)}) as web:
            items = [
                {"url": f"{web.url}/a.png", "external_id": "frame 7"},
                {"url": f"{web.url}/b.png?sig=secret", "external_id": "FRAME 7"},
                {"url": f"{web.url}/b.png", "external_id": "../../etc/x"},
            ]
            asked = ask(site, {"type": "urls", "items": items}, name="mine")
            site.settle()
        found = entries(site, asked)
        assert [entry["external_id"] for entry in found] == ["frame 7", "FRAME 7 (2)", "etc/x"]
        assert [entry["file_name"] for entry in found] == ["a.png", "b.png", "b.png"]
        assert get_set(site, asked)["name"] == "mine"

    def test_bytes_count_for_the_day_of_who_asked(self, site: Installation) -> None:
        key_id, headers = make_key(
            site.catalog, "write", quota={"stored_bytes_per_day": len(png_bytes(1))}
        )
        with serve({"/a.png": png_bytes(1)}) as web:
            body = {"source": {"type": "urls", "urls": [web.url + "/a.png"]}}
            first = site.client.post("/v1/image-sets", json=body, headers=headers)
            assert first.status_code == 202
            site.settle()
        used = site.client.get("/v1/quota", headers=headers).json()["used"]
        assert used["stored_bytes_per_day"] == len(png_bytes(1))
        refused = site.client.post("/v1/image-sets", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota-exceeded")
        assert len(site.client.get("/v1/jobs", headers=headers).json()["jobs"]) == 1

    def test_nothing_usable_fails_job_and_set_with_a_reason(self, site: Installation) -> None:
        with serve({}) as web:
            asked = ask_urls(site, web, "/a.png", "/b.png")
            site.settle()
        job = get_job(site, asked["job"]["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "no-usable-image")
        failed = get_set(site, asked)
        assert (failed["status"], failed["problem"]["code"]) == ("failed", "no-usable-image")
        refused = site.client.post(
            "/v1/jobs",
            json={"type": "generate", "image_set": asked["image_set"]["id"], "model": "tiny"},
        )
        assert refused.status_code == 409

    def test_archives_behind_urls_are_opened(self, site: Installation) -> None:
        inner = {"x/1.png": png_bytes(1), "x/2.png": png_bytes(2), "x/notes.txt": b"hello"}
        with serve({"/a.zip": zip_bytes(inner), "/3.png": png_bytes(3)}) as web:
            items = [
                {"url": f"{web.url}/a.zip", "external_id": "night"},
                {"url": f"{web.url}/3.png"},
            ]
            asked = ask(site, {"type": "urls", "items": items})
            site.settle()
        assert told(site, asked) == {
            "night/x/1.png": "accepted",
            "night/x/2.png": "accepted",
            "night/x/notes.txt": "not-an-image",
            "3.png": "accepted",
        }
        assert_consistent(site.catalog, asked["job"]["id"])

    def test_cancelled_before_it_began(self, site: Installation) -> None:
        with serve({"/a.png": png_bytes(1)}) as web:
            asked = ask_urls(site, web, "/a.png")
            cancelled = site.client.post(f"/v1/jobs/{asked['job']['id']}:cancel")
            assert cancelled.status_code == 202
            site.settle()
            assert web.seen == []
        job = get_job(site, asked["job"]["id"])
        assert job["status"] == "cancelled"
        assert nonzero(job["counts"]) == {"total": 1, "cancelled": 1}
        failed = get_set(site, asked)
        assert (failed["status"], failed["problem"]["code"]) == ("failed", "state-conflict")
        assert "cancelled" in failed["problem"]["detail"]

    def test_the_quota_of_a_day_ends_the_job(self, catalog_url: str, tmp_path: Path) -> None:
        pages = {f"/{i}.png": png_bytes(i) for i in range(3)}
        limit = len(pages["/0.png"]) + 1
        changes = {"quota_stored_bytes_per_day": limit}
        with open_site(catalog_url, tmp_path / "data", **changes) as site, serve(pages) as web:
            asked = ask_urls(site, web, *pages)
            site.settle()
            job = assert_consistent(site.catalog, asked["job"]["id"])
            assert (job.status, job.error["code"]) == ("failed", "quota-exceeded")
            assert get_set(site, asked)["problem"]["code"] == "quota-exceeded"

    def test_many_files_in_batches(self, site: Installation) -> None:
        count = 2 * BATCH_FILES + 7
        images = [png_bytes(i) for i in range(10)]
        pages = {f"/{i}/frame.png": images[i % 10] for i in range(count)}
        with serve(pages) as web:
            asked = ask_urls(site, web, *pages)
            site.settle()
            job = assert_consistent(site.catalog, asked["job"]["id"])
            assert (job.status, job.succeeded) == ("succeeded", count)
            assert get_set(site, asked)["counts"] == {
                "total": count, "accepted": 10, "duplicate": count - 10, "rejected": 0,
            }  # fmt: skip
            names = [entry["external_id"] for entry in entries(site, asked)]
            assert len(set(names)) == count
            assert names[:2] == ["frame.png", "frame (2).png"]
            assert names[-1] == f"frame ({count}).png"


class TestBuckets:
    def test_a_prefix(self, site: Installation, s3_server: S3Server) -> None:
        bucket = s3_server.new_bucket()
        files = {f"data/night/{i}.JPG": jpeg_bytes(i) for i in range(3)}
        files["data/night/set.zip"] = zip_bytes({"inner.png": png_bytes(9)})
        files["data/night/readme.md"] = b"#"
        files["data/day/1.jpg"] = jpeg_bytes(7)
        put(s3_server, bucket, files)
        lab = connect(site, s3_server, bucket, "data/")
        asked = ask(site, {"type": "s3_prefix", "connection": lab, "prefix": "night/"})
        site.settle()
        assert told(site, asked) == {
            "night/0.JPG": "accepted",
            "night/1.JPG": "accepted",
            "night/2.JPG": "accepted",
            "inner.png": "accepted",
        }
        assert get_job(site, asked["job"]["id"])["status"] == "succeeded"
        limited = ask(
            site, {"type": "s3_prefix", "connection": lab, "suffixes": [], "max_files": 2}
        )
        site.settle()
        assert list(told(site, limited)) == ["day/1.jpg", "night/0.JPG"]

    def test_an_empty_prefix_fails_with_advice(
        self, site: Installation, s3_server: S3Server
    ) -> None:
        lab = connect(site, s3_server, s3_server.new_bucket())
        asked = ask(site, {"type": "s3_prefix", "connection": lab, "prefix": "nothing/"})
        site.settle()
        job = get_job(site, asked["job"]["id"])
        assert (job["status"], job["counts"]["total"]) == ("failed", 0)
        assert "holds no file" in job["error"]["detail"]

    def test_the_connection_stays_while_the_job_runs(
        self, site: Installation, s3_server: S3Server
    ) -> None:
        lab = connect(site, s3_server, s3_server.new_bucket())
        asked = ask(site, {"type": "s3_prefix", "connection": lab})
        assert site.client.delete("/v1/connections/lab").status_code == 409
        site.settle()
        assert get_job(site, asked["job"]["id"])["done"]
        assert site.client.delete("/v1/connections/lab").status_code == 204

    def test_a_bucket_that_cannot_be_listed_fails_the_job(
        self, site: Installation, s3_server: S3Server
    ) -> None:
        lab = connect(site, s3_server, "no-such-bucket")
        asked = ask(site, {"type": "s3_prefix", "connection": lab})
        site.settle()
        job = get_job(site, asked["job"]["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", "source-missing")
        assert get_set(site, asked)["status"] == "failed"


class TestManifests:
    def test_lines_of_both_kinds(self, site: Installation, s3_server: S3Server) -> None:
        bucket = s3_server.new_bucket()
        lines = [
            json.dumps({"key": "img/1.png", "external_id": "one"}),
            "img/2.png",
            "",
            '{"key": 5}',
            json.dumps({"source-ref": f"s3://{bucket}/img/3.png", "class": 4}),
        ]
        files = {f"img/{i}.png": png_bytes(i) for i in (1, 2, 3)}
        put(s3_server, bucket, {**files, "list.jsonl": "\n".join(lines).encode()})
        lab = connect(site, s3_server, bucket)
        asked = ask(site, {"type": "manifest", "connection": lab, "key": "list.jsonl"})
        site.settle()
        assert told(site, asked) == {
            "one": "accepted",
            "img/2.png": "accepted",
            "line 4": "manifest-invalid",
            "img/3.png": "accepted",
        }
        assert get_job(site, asked["job"]["id"])["status"] == "partial"

    @pytest.mark.parametrize(
        ("page", "code"), [(b"\x00\x01\x02", "manifest-invalid"), (None, "source-missing")]
    )
    def test_no_manifest(self, site: Installation, page: bytes | None, code: str) -> None:
        with serve({} if page is None else {"/list": page}) as web:
            asked = ask(site, {"type": "manifest", "url": f"{web.url}/list?token=secret"})
            assert "secret" not in json.dumps(asked)
            site.settle()
        job = get_job(site, asked["job"]["id"])
        assert (job["status"], job["error"]["code"]) == ("failed", code)
        assert "secret" not in json.dumps(job)


class TestUploads:
    def test_an_uploaded_archive(self, site: Installation) -> None:
        data = zip_bytes({f"{i}.png": png_bytes(i) for i in range(4)} | {"bad.png": b"bad"})
        upload = upload_file(site, data, "night.zip")
        asked = ask(site, {"type": "upload", "upload": upload})
        assert asked["image_set"]["source"]["file_name"] == "night.zip"
        site.settle()
        assert nonzero(get_job(site, asked["job"]["id"])["counts"]) == {
            "total": 5, "succeeded": 4, "failed": 1,
        }  # fmt: skip
        assert told(site, asked)["bad.png"] == "not-an-image"

    def test_a_single_image(self, site: Installation) -> None:
        upload = upload_file(site, png_bytes(1), "one.png")
        asked = ask(site, {"type": "upload", "upload": upload})
        site.settle()
        assert told(site, asked) == {"one.png": "accepted"}

    def test_an_unsafe_archive_fails_with_its_reason(self, site: Installation) -> None:
        upload = upload_file(site, b"PK\x03\x04 and nothing else", "broken.zip")
        asked = ask(site, {"type": "upload", "upload": upload})
        site.settle()
        assert told(site, asked) == {"broken.zip": "not-an-archive"}
        assert get_job(site, asked["job"]["id"])["status"] == "failed"

    def test_an_upload_that_is_not_complete(self, site: Installation) -> None:
        opened = site.client.post("/v1/uploads", json={"file_name": "a.zip", "size_bytes": 100})
        body = {"source": {"type": "upload", "upload": opened.json()["id"]}}
        answer = site.client.post("/v1/image-sets", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
