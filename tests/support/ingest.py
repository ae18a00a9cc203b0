"""Asking for image sets from elsewhere, and reading what became of each file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.catalogs import new_sqlite_catalog
from tests.support.http_server import WebServer
from tests.support.installation import Installation, installation
from tests.support.s3 import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.support.uploads import announce, send_missing

LOOPBACK = {"fetch_allow_networks": "127.0.0.1/32"}


@contextmanager
def open_site(url: str, folder: Path, **settings: Any) -> Iterator[Installation]:
    with installation(url, folder, **LOOPBACK, **settings) as site:
        yield site


@contextmanager
def open_tiny_site(folder: Path) -> Iterator[Installation]:
    """The same on SQLite, with the model `tiny`."""
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    with open_site(url, folder / "data") as opened:
        opened.add_tiny_model(folder / "tiny")
        yield opened


def ask(site: Installation, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = site.client.post("/v1/image-sets", json={"source": source, **more})
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{document['job']['id']}"
    return document


def ask_urls(site: Installation, web: WebServer, *paths: str) -> dict[str, Any]:
    return ask(site, {"type": "urls", "urls": [web.url + path for path in paths]})


def get_set(site: Installation, asked: dict[str, Any]) -> dict[str, Any]:
    answer = site.client.get(f"/v1/image-sets/{asked['image_set']['id']}")
    document: dict[str, Any] = answer.json()
    return document


def entries(site: Installation, asked: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = None
    while True:
        answer = site.client.get(
            f"/v1/image-sets/{asked['image_set']['id']}/images",
            params={"page_size": 1000, **({"page_token": token} if token else {})},
        )
        page = answer.json()
        found += page["images"]
        token = page.get("next_page_token")
        if not token:
            return found


def told(site: Installation, asked: dict[str, Any]) -> dict[str, str]:
    """External id → status, or the code of the problem."""
    return {
        entry["external_id"]: (entry.get("problem") or {}).get("code") or entry["status"]
        for entry in entries(site, asked)
    }


def connect(site: Installation, server: S3Server, bucket: str, prefix: str = "") -> str:
    answer = site.client.post(
        "/v1/connections",
        json={
            "name": "lab",
            "kind": "s3",
            "config": {
                "bucket": bucket,
                "endpoint": server.url,
                "region": "eu-west-1",
                "prefix": prefix,
                "access_key_id": ACCESS_KEY_ID,
            },
            "secrets": {"secret_access_key": SECRET_ACCESS_KEY},
        },
    )
    assert answer.status_code == 201, answer.text
    return "lab"


def upload_file(site: Installation, data: bytes, name: str) -> str:
    upload_id = str(announce(site, data, name).json()["id"])
    send_missing(site, upload_id, data)
    done = site.client.post(f"/v1/uploads/{upload_id}:complete", json={})
    assert done.status_code == 200, done.text
    return upload_id


def put(server: S3Server, bucket: str, files: dict[str, bytes]) -> None:
    for key, data in files.items():
        httpx.put(f"{server.url}/{bucket}/{key}", content=data).raise_for_status()
