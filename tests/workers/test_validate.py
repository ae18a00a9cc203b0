"""A new model version, from its upload to ready or rejected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain import sweep
from models.segmentation import loading
from storage.catalog.workers import add_worker
from storage.objects import model_key, upload_key
from tests.support.api import get_items, get_job, nonzero, post_images
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes, zip_bytes
from tests.support.installation import WORKER_ID, Installation, installation
from tests.support.model_files import (
    bundle_files,
    huggingface_files,
    post_archive,
    post_files,
    post_source,
    tar_bytes,
)
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.support.uploads import upload
from workers import validate
from workers.label_kinds import LABEL_HANDLERS
from workers.run_chunk import run_chunk

FILES = bundle_files()


def version(site: Installation, number: int = 1, name: str = "new") -> dict[str, Any]:
    answer = site.client.get(f"/v1/models/{name}/versions/{number}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def settled(site: Installation, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    site.settle()
    return get_job(site, answer.json()["id"])


class TestReady:
    def test_from_zip_to_label(self, site: Installation) -> None:
        answer = post_files(site, FILES, metadata='{"run": "7"}')
        job = answer.json()
        assert (job["type"], job["status"], job["model"]) == ("validate", "queued", "new:1")
        assert (job["image_set"], job["metadata"]) == (None, {"run": "7"})
        waiting = version(site)
        assert (waiting["status"], waiting["digest"], waiting["ontology"]) == (
            "validating",
            None,
            None,
        )
        early = site.client.post(
            "/v1/pseudo-labels", files=[("files", ("a.png", png_bytes()))], data={"model": "new:1"}
        )
        assert (early.status_code, early.json()["code"]) == (409, "model-not-ready")
        job = settled(site, answer)
        assert (job["status"], job["error"]) == ("succeeded", None)
        assert nonzero(job["counts"]) == {"total": 1, "succeeded": 1}
        ready = version(site)
        assert job["result"] == {"model": "new:1", "digest": ready["digest"]}
        assert (ready["status"], ready["kind"], ready["problem"]) == ("ready", "bundle", None)
        assert [c["name"] for c in ready["ontology"]["classes"]] == ["road", "sky", "car"]
        assert ready["provenance"]["source"] == "upload"
        assert ready["provenance"]["metadata"] == {"run": "7"}
        assert ready["size_bytes"] == sum(map(len, FILES.values()))
        assert site.client.get("/v1/models/new").json()["current_version"] == 1
        created = post_images(site, {"a.png": png_bytes()}, model="new")
        site.settle()
        assert get_job(site, created["job"]["id"])["status"] == "succeeded"

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_from_a_tar_with_a_folder_and_a_read_me(
        self, sqlite_site: Installation, mode: str
    ) -> None:
        files = {f"street/{name}": data for name, data in FILES.items()}
        files |= {"street/README.md": b"# Street", "street/LICENSE": b"free"}
        job = settled(sqlite_site, post_archive(sqlite_site, tar_bytes(files, mode), "m.tar.gz"))
        assert job["status"] == "succeeded", job["error"]
        digest = version(sqlite_site)["digest"]
        for name, data in FILES.items():
            assert sqlite_site.objects.get(model_key(digest, name)) == data

    def test_huggingface(self, sqlite_site: Installation) -> None:
        job = settled(sqlite_site, post_files(sqlite_site, huggingface_files()))
        assert job["status"] == "succeeded", job["error"]
        found = version(sqlite_site)
        assert (found["kind"], len(found["ontology"]["classes"])) == ("huggingface", 5)

    def test_from_an_upload_in_parts(self, site: Installation) -> None:
        upload_id = upload(site, zip_bytes(FILES), "street.zip")
        source = {"type": "upload", "upload": upload_id}
        answer = post_source(site, source=source, promote=True)
        assert answer.status_code == 202, answer.text
        busy = site.client.delete(f"/v1/uploads/{upload_id}")
        assert (busy.status_code, busy.json()["code"]) == (409, "state-conflict")
        assert settled(site, answer)["status"] == "succeeded"
        assert site.client.delete(f"/v1/uploads/{upload_id}").status_code == 204
        assert version(site)["provenance"]["upload"] == upload_id

    def test_versions_of_one_digest_and_promotion(self, sqlite_site: Installation) -> None:
        """Each upload is a version; the same files share digest, objects and labels."""
        others = bundle_files(seed=1)
        for files, promote in ((FILES, "false"), (others, "false"), (FILES, "true")):
            assert (
                settled(sqlite_site, post_files(sqlite_site, files, promote=promote))["status"]
                == "succeeded"
            )
        digests = [version(sqlite_site, n)["digest"] for n in (1, 2, 3)]
        assert digests[0] == digests[2] != digests[1]
        assert sqlite_site.client.get("/v1/models/new").json()["current_version"] == 3
        labels = []
        for reference in ("new:1", "new:3"):
            created = post_images(sqlite_site, {"a.png": png_bytes()}, model=reference)
            sqlite_site.settle()
            labels.append(get_items(sqlite_site, created["job"]["id"])["a.png"]["label_id"])
        assert labels[0] == labels[1]

    def test_the_first_ready_version_is_the_current_one(self, sqlite_site: Installation) -> None:
        settled(sqlite_site, post_files(sqlite_site, {**FILES, "bundle.json": b"{}"}))
        assert sqlite_site.client.get("/v1/models/new").json()["current_version"] is None
        settled(sqlite_site, post_files(sqlite_site, FILES))
        assert sqlite_site.client.get("/v1/models/new").json()["current_version"] == 2

    def test_idempotency_key(self, sqlite_site: Installation) -> None:
        url, headers = "/v1/models/new/versions", {"Idempotency-Key": "k"}
        files = [("file", ("m.zip", zip_bytes(FILES)))]
        answers = [sqlite_site.client.post(url, files=files, headers=headers) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert len(sqlite_site.client.get(url).json()["versions"]) == 1


PREFIX = {"type": "s3_prefix", "connection": "models", "prefix": "street/"}


class TestFromABucket:
    @pytest.fixture
    def fetching(self, tmp_path: Path) -> Iterator[Installation]:
        """An installation that may fetch from this machine."""
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        folder = tmp_path / "data"
        with installation(url, folder, fetch_allow_networks="127.0.0.1/32") as opened:
            yield opened

    def _connect(self, site: Installation, s3_server: S3Server, objects: dict[str, bytes]) -> None:
        bucket = s3_server.new_bucket()
        for key, data in objects.items():
            httpx.put(f"{s3_server.url}/{bucket}/{key}", content=data).raise_for_status()
        body = {
            "name": "models",
            "kind": "s3",
            "config": {
                "bucket": bucket,
                "endpoint": s3_server.url,
                "prefix": "team",
                "access_key_id": ACCESS_KEY_ID,
            },
            "secrets": {"secret_access_key": SECRET_ACCESS_KEY},
        }
        answer = site.client.post("/v1/connections", json=body)
        assert answer.status_code == 201, answer.text

    def test_ready(self, fetching: Installation, s3_server: S3Server) -> None:
        objects = {f"team/street/{n}": d for n, d in {**FILES, "README.md": b"#"}.items()}
        objects["team/street-2/bundle.json"] = b"{}"
        self._connect(fetching, s3_server, objects)
        answer = post_source(fetching, source=PREFIX)
        busy = fetching.client.delete("/v1/connections/models")
        assert busy.status_code == 409
        job = settled(fetching, answer)
        assert job["status"] == "succeeded", job["error"]
        provenance = version(fetching)["provenance"]
        assert (provenance["source"], provenance["prefix"]) == ("s3_prefix", "street/")
        assert fetching.client.delete("/v1/connections/models").status_code == 204

    @pytest.mark.parametrize(
        ("objects", "code"),
        [
            ({}, "model-unreadable"),
            ({**FILES, "pytorch_model.bin": b"x"}, "model-is-pickle"),
            ({**FILES, "deeper/config.json": b"{}"}, "model-unreadable"),
            ({**FILES, "modeling.py": b"print()"}, "model-has-code"),
            ({**FILES, "bundle.json": b"{"}, "model-unreadable"),
        ],
    )
    def test_rejected(
        self, fetching: Installation, s3_server: S3Server, objects: dict[str, bytes], code: str
    ) -> None:
        self._connect(fetching, s3_server, {f"team/street/{n}": d for n, d in objects.items()})
        job = settled(fetching, post_source(fetching, source=PREFIX))
        assert (job["status"], job["error"]["code"]) == ("failed", code)
        assert version(fetching)["status"] == "rejected"

    def test_larger_than_a_model_may_be(self, fetching: Installation, s3_server: S3Server) -> None:
        object.__setattr__(fetching.settings, "max_model_bytes", 5000)
        self._connect(fetching, s3_server, {f"team/street/{n}": d for n, d in FILES.items()})
        job = settled(fetching, post_source(fetching, source=PREFIX))
        assert (job["status"], job["error"]["code"]) == ("failed", "source-too-large")


class TestRejected:
    def test_reason_on_job_item_and_version(self, site: Installation) -> None:
        job = settled(site, post_files(site, {**FILES, "bundle.json": b"{}"}))
        assert (job["status"], job["result"]) == ("failed", None)
        assert nonzero(job["counts"]) == {"total": 1, "failed": 1}
        assert job["error"]["code"] == "model-unreadable"
        found = version(site)
        assert (found["status"], found["problem"]) == ("rejected", job["error"])
        assert get_items(site, job["id"])["new:1"]["error"] == job["error"]
        again = site.client.post(f"/v1/jobs/{job['id']}:retry")
        assert (again.status_code, again.json()["code"]) == (409, "state-conflict")
        late = site.client.post("/v1/models/new/versions/1:promote")
        assert (late.status_code, late.json()["code"]) == (409, "model-not-ready")

    def test_cancelled_before_it_began(self, site: Installation) -> None:
        answer = post_files(site, FILES)
        job_id = answer.json()["id"]
        assert site.client.post(f"/v1/jobs/{job_id}:cancel").status_code == 202
        site.settle()
        assert get_job(site, job_id)["status"] == "cancelled"
        assert version(site)["status"] == "rejected"

    def test_upload_that_has_gone(self, sqlite_site: Installation) -> None:
        upload_id = upload(sqlite_site, zip_bytes(FILES))
        answer = post_source(sqlite_site, source={"type": "upload", "upload": upload_id})
        sqlite_site.objects.delete([upload_key(upload_id)])
        job = settled(sqlite_site, answer)
        assert (job["status"], job["error"]["code"]) == ("failed", "not-found")
        assert version(sqlite_site)["status"] == "rejected"

    def test_an_error_of_the_library(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("at /secret/path")

        monkeypatch.setattr(validate, "check_model", fail)
        job = settled(sqlite_site, post_files(sqlite_site, FILES))
        assert (job["status"], job["error"]["code"]) == ("failed", "model-unreadable")
        assert "ZeroDivisionError" in job["error"]["detail"]
        assert "/secret" not in json.dumps(job)

    @pytest.mark.parametrize(
        ("names", "code"),
        [
            (["a", "b", "c" * 129], "model-unreadable"),
            (["a\x00", "b", "c"], "model-unreadable"),
            (["\ud800", "b", "c"], "model-unreadable"),
        ],
    )
    def test_classes_that_could_not_be_stored(
        self, site: Installation, names: list[str], code: str
    ) -> None:
        content = json.loads(FILES["bundle.json"])
        for entry, name in zip(content["ontology"]["classes"], names, strict=True):
            entry["name"] = name
        files = {**FILES, "bundle.json": json.dumps(content).encode()}
        job = settled(site, post_files(site, files))
        assert (job["status"], job["error"]["code"]) == ("failed", code)
        assert version(site)["status"] == "rejected"


class Killed(BaseException):
    """The worker process is gone, between two instructions."""


class TestKills:
    def _run_until_killed(self, site: Installation) -> None:
        site.scheduler.turn()
        with pytest.raises(Killed):
            run_chunk(site.runtime, LABEL_HANDLERS, site.queue.sent.pop(0))
        limit = site.settings.max_worker_kills
        assert sweep.bury_worker(site.catalog, WORKER_ID, limit) == 1
        with site.catalog.write() as session:
            add_worker(session, WORKER_ID, queue="label", host="here", pid=1, device="cpu")

    def test_a_model_that_kills_its_worker(
        self, site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rejected after so many deaths; other jobs go on."""
        site.add_tiny_model(tmp_path / "tiny")
        job_id = post_files(site, FILES).json()["id"]

        def die(*_: object) -> None:
            raise Killed

        monkeypatch.setattr(validate, "check_model", die)
        for _ in range(site.settings.max_worker_kills):
            assert version(site)["status"] == "validating"
            self._run_until_killed(site)
        other = post_images(site, {"a.png": png_bytes()})["job"]["id"]
        site.settle()
        job = get_job(site, job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "model-kills-worker")
        assert "models add" in job["error"]["detail"]
        assert nonzero(job["counts"]) == {"total": 1, "cancelled": 1}
        assert version(site)["problem"]["code"] == "model-kills-worker"
        assert get_job(site, other)["status"] == "succeeded"

    @pytest.mark.parametrize("place", ["_fetch", "put_folder", "commit", "after commit"])
    def test_killed_once_anywhere(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        job_id = post_files(site, FILES).json()["id"]
        original = getattr(validate, place.removeprefix("after "))

        def die(*arguments: Any) -> None:
            if place.startswith("after"):
                original(*arguments)
            raise Killed

        monkeypatch.setattr(validate, place.removeprefix("after "), die)
        site.scheduler.turn()
        with pytest.raises(Killed):
            run_chunk(site.runtime, LABEL_HANDLERS, site.queue.sent.pop(0))
        monkeypatch.undo()
        sweep.bury_worker(site.catalog, WORKER_ID, 3)
        with site.catalog.write() as session:
            add_worker(session, WORKER_ID, queue="label", host="here", pid=1, device="cpu")
        site.settle()
        job = get_job(site, job_id)
        assert job["status"] == "succeeded"
        assert nonzero(job["counts"]) == {"total": 1, "succeeded": 1}
        assert version(site)["status"] == "ready"

    def test_cancelled_while_it_was_tried(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was cancelled is not made ready behind the user's back."""
        job_id = post_files(site, FILES).json()["id"]
        original = loading.check_model

        def cancel_and_check(*arguments: Any) -> dict[str, Any]:
            site.client.post(f"/v1/jobs/{job_id}:cancel")
            return original(*arguments)

        monkeypatch.setattr(validate, "check_model", cancel_and_check)
        site.settle()
        assert get_job(site, job_id)["status"] == "cancelled"
        assert version(site)["status"] == "rejected"
