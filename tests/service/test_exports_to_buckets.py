"""Exports into a bucket, and what is told when one is ready."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.connections import open_source
from tests.support.api import post_images
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """An installation that may talk to this machine, with labels."""
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    changes = {"fetch_allow_networks": "127.0.0.1/32"}
    with installation(url, tmp_path / "data", **changes) as opened:
        opened.add_tiny_model(tmp_path / "tiny")
        yield opened


def connect(site: Installation, server: str, bucket: str) -> None:
    body = {
        "name": "lab",
        "kind": "s3",
        "config": {"bucket": bucket, "endpoint": server, "region": "eu-west-1",
                   "prefix": "mine/", "access_key_id": ACCESS_KEY_ID},
        "secrets": {"secret_access_key": SECRET_ACCESS_KEY},
    }  # fmt: skip
    answer = site.client.post("/v1/connections", json=body)
    assert answer.status_code == 201, answer.text


def exported(site: Installation, job: str) -> dict[str, Any]:
    body = {"format": "coco", "source": {"job": job},
            "destination": {"connection": "lab", "prefix": "exports/1/"}}  # fmt: skip
    answer = site.client.post("/v1/exports", json=body)
    assert answer.status_code == 202, answer.text
    site.settle()
    found: dict[str, Any] = site.client.get(answer.headers["Location"]).json()
    return found


def test_written_file_by_file_and_told(here: Installation, s3_server: S3Server) -> None:
    job = post_images(here, {"ü 1.png": png_bytes(0), "b/2.png": png_bytes(1)})["job"]["id"]
    here.settle()
    bucket = s3_server.new_bucket()
    connect(here, s3_server.url, bucket)
    hook = {"name": "ci", "url": "https://example.com/h", "events": ["export.ready"]}
    endpoint = here.client.post("/v1/webhook-endpoints", json=hook).json()["id"]
    export = exported(here, job)
    assert (export["status"], export["report"]["labels"]) == ("succeeded", 2), export
    assert "download" not in export["links"]
    assert here.client.get(f"{export['links']['self']}/file").status_code == 409
    with open_source(here.catalog, here.settings, "lab") as bucket_of_theirs:
        keys = [found.key for found in bucket_of_theirs.iterate()]
        assert keys == [
            "exports/1/annotations/instances_train.json", "exports/1/export.json",
        ]  # fmt: skip
        with bucket_of_theirs.open(keys[0], max_bytes=10**6) as fetched:
            document = json.load(fetched.file)
    assert [image["file_name"] for image in document["images"]] == ["ü 1.png", "b/2.png"]
    sent = here.client.get(f"/v1/webhook-endpoints/{endpoint}/deliveries").json()
    told = json.dumps(sent)
    assert "export.ready" in told


def test_a_bucket_that_refuses_fails_the_export(here: Installation, s3_server: S3Server) -> None:
    job = post_images(here, {"1.png": png_bytes(0)})["job"]["id"]
    here.settle()
    connect(here, s3_server.url, "there-is-none")
    export = exported(here, job)
    assert (export["status"], export["error"]["code"]) == ("failed", "destination-refused")
    assert "NoSuchBucket" in export["error"]["detail"]
    assert SECRET_ACCESS_KEY not in json.dumps(export)


def test_only_buckets_are_written_to(here: Installation) -> None:
    job = post_images(here, {"1.png": png_bytes(0)})["job"]["id"]
    here.settle()
    web = {"name": "lab", "kind": "http", "config": {"base_url": "https://data.example.com/"}}
    here.client.post("/v1/connections", json=web)
    body = {"format": "coco", "source": {"job": job},
            "destination": {"connection": "lab", "prefix": ""}}  # fmt: skip
    answer = here.client.post("/v1/exports", json=body)
    assert answer.status_code == 422, answer.text
