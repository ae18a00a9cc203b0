"""What may be asked for in image sets from elsewhere, and image sets in one request."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api_schemas.problems import StorageUnavailable
from domain.image_sets import BATCH_FILES
from storage.catalog.tables import ImageSetEntryRow, ImageSetRow, JobRow
from tests.support.api import multipart, post_set
from tests.support.images import png_bytes, zip_bytes
from tests.support.ingest import (
    ask,
    open_site,
)
from tests.support.installation import Installation


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    with open_site(catalog_url, tmp_path / "data") as opened:
        yield opened


class TestRequests:
    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"source": {"type": "ftp", "urls": ["ftp://a"]}},
            {"source": {"type": "urls"}},
            {"source": {"type": "urls", "urls": []}},
            {"source": {"type": "urls", "urls": ["http://a"], "items": [{"url": "http://a"}]}},
            {"source": {"type": "urls", "urls": ["http://a\x00"]}},
            {"source": {"type": "urls", "urls": [["http://a"]]}},
            {"source": {"type": "urls", "items": [{"url": "http://a", "external_id": ""}]}},
            {"source": {"type": "urls", "urls": ["http://a"]}, "name": "n" * 257},
            {"source": {"type": "urls", "urls": ["http://a"]}, "unknown": 1},
            {"source": {"type": "manifest", "key": "a"}},
            {"source": {"type": "manifest", "url": "http://a", "key": "a", "connection": "c"}},
            {"source": {"type": "s3_prefix", "prefix": "a"}},
            {"source": {"type": "upload", "upload": "upl_../../etc"}},
            [],
            "urls",
        ],
    )
    def test_what_is_not_valid(self, sqlite_site: Installation, body: Any) -> None:
        answer = sqlite_site.client.post("/v1/image-sets", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")

    def test_what_does_not_exist(self, sqlite_site: Installation) -> None:
        for source in (
            {"type": "s3_prefix", "connection": "nobody"},
            {"type": "upload", "upload": "upl_01J9Z3N6V1QG8T2B4C5D6E7F8G"},
        ):
            answer = sqlite_site.client.post("/v1/image-sets", json={"source": source})
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert sqlite_site.client.get("/v1/image-sets").json()["image_sets"] == []

    def test_a_web_server_has_no_list(self, site: Installation) -> None:
        config = {"base_url": "http://127.0.0.1:9/x/"}
        made = site.client.post(
            "/v1/connections", json={"name": "web", "kind": "http", "config": config}
        )
        assert made.status_code == 201, made.text
        body = {"source": {"type": "s3_prefix", "connection": "web"}}
        answer = site.client.post("/v1/image-sets", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")

    def test_the_same_key_starts_one_job(self, sqlite_site: Installation) -> None:
        body = {"source": {"type": "urls", "urls": ["http://192.0.2.1/a.png"]}}
        headers = {"Idempotency-Key": "k1"}
        first = sqlite_site.client.post("/v1/image-sets", json=body, headers=headers)
        second = sqlite_site.client.post("/v1/image-sets", json=body, headers=headers)
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"

    def test_no_room(self, tmp_path: Path, catalog_url: str) -> None:
        with open_site(catalog_url, tmp_path / "data", max_queued_images=2) as site:
            body = {"source": {"type": "urls", "urls": ["http://192.0.2.1/a.png"] * 3}}
            answer = site.client.post("/v1/image-sets", json=body)
            assert (answer.status_code, answer.json()["code"]) == (429, "quota-exceeded")
            assert site.client.get("/v1/image-sets").json()["image_sets"] == []


def tar_bytes(files: dict[str, bytes], mode: Any = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class TestMultipart:
    """The same intake, within the request."""

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_tar_beside_zip_and_images(self, site: Installation, mode: str) -> None:
        inner = {"night/1.png": png_bytes(1), "night/2.png": png_bytes(2), "../evil.png": b"x"}
        files = [
            ("a.tar", tar_bytes(inner, mode)),
            ("b.zip", zip_bytes({"3.png": png_bytes(3), "c.zip": zip_bytes({})})),
            ("4.png", png_bytes(4)),
        ]
        report = post_set(site, files)
        found = {f["external_id"]: (f.get("problem") or {}).get("code") for f in report["files"]}
        assert found == {
            "night/1.png": None, "night/2.png": None, "evil.png": "name-unsafe",
            "3.png": None, "c.zip": "nested-archive", "4.png": None,
        }  # fmt: skip
        assert report["status"] == "ready"
        assert report["counts"] == {"total": 6, "accepted": 4, "duplicate": 0, "rejected": 2}

    def test_names_that_differ_in_case_only_are_both_kept(self, site: Installation) -> None:
        files = {"A.png": png_bytes(1), "a.png": png_bytes(2)}
        report = post_set(site, [("x.zip", zip_bytes(files))])
        assert [f["external_id"] for f in report["files"]] == ["A.png", "a (2).png"]
        assert "upper and lower case" in report["files"][1]["note"]

    def test_duplicates_and_names_across_batches(self, site: Installation) -> None:
        count = BATCH_FILES + 20
        images = [png_bytes(i) for i in range(3)]
        data = tar_bytes({f"{i}/frame.png": images[i % 3] for i in range(count)}, "w")
        report = post_set(site, [("x.tar", data), ("y.tar", data)])
        assert report["counts"] == {
            "total": 2 * count, "accepted": 3, "duplicate": 2 * count - 3, "rejected": 0,
        }  # fmt: skip
        last = report["files"][-1]
        assert last["duplicate_of"] in {f"{i}/frame.png" for i in range(3)}

    def test_an_archive_that_is_refused_leaves_nothing(self, site: Installation) -> None:
        bad = [("good.png", png_bytes(1)), ("bad.zip", b"PK\x03\x04 broken")]
        answer = site.client.post("/v1/image-sets", files=multipart(bad))
        assert (answer.status_code, answer.json()["code"]) == (422, "not-an-archive")
        assert site.client.get("/v1/image-sets").json()["image_sets"] == []
        with site.catalog.read() as session:
            assert session.scalar(select(func.count()).select_from(ImageSetEntryRow)) == 0

    def test_a_failing_store_leaves_no_set(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = 0
        original = type(site.objects).put_new

        def put_new(self: Any, key: str, data: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == BATCH_FILES + 2:  # a batch is in the catalog already
                raise StorageUnavailable("The object store failed.")
            return original(self, key, data)

        monkeypatch.setattr(type(site.objects), "put_new", put_new)
        image = png_bytes(1)
        files = {f"{i}.png": image for i in range(BATCH_FILES + 5)}
        answer = site.client.post("/v1/image-sets", files=multipart([("x.zip", zip_bytes(files))]))
        assert answer.status_code == 503
        assert site.client.get("/v1/image-sets").json()["image_sets"] == []

    def test_while_it_receives_the_set_is_kept_fresh(self, site: Installation) -> None:
        report = post_set(site, {"a.png": png_bytes(1)})
        with site.catalog.read() as session:
            row = session.get(ImageSetRow, report["id"])
        assert row is not None
        assert row.touched_at is not None
        assert row.touched_at >= row.created_at


def test_who_made_it(site: Installation) -> None:
    asked = ask(site, {"type": "urls", "urls": ["http://192.0.2.1/a.png"]})
    with site.catalog.read() as session:
        row = session.get(ImageSetRow, asked["image_set"]["id"])
        job = session.get(JobRow, asked["job"]["id"])
    assert row is not None
    assert job is not None
    assert row.created_by == job.created_by == "local"


def test_an_ingest_job_is_not_retried(site: Installation) -> None:
    asked = ask(site, {"type": "urls", "urls": ["http://192.0.2.1/a.png"]})
    site.client.post(f"/v1/jobs/{asked['job']['id']}:cancel")
    answer = site.client.post(f"/v1/jobs/{asked['job']['id']}:retry", json={"only": "failed"})
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")
    assert "POST /v1/image-sets" in answer.json()["detail"]
