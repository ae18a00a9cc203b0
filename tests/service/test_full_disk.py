"""A disk that is full, nearly full or read-only: a problem that says so, nothing harmed."""

import io
import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import obstore
import pytest
from obstore.exceptions import GenericError
from PIL import Image

from ops.ports import find_free
from tests.faults.running import wait_until
from tests.support.api import get_job, multipart, post_images
from tests.support.catalogs import new_sqlite_catalog
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from workers import run_chunk

LIMIT_BYTES = 2 << 20


def bmp_bytes(side_px: int) -> bytes:
    """A file of 3 bytes a pixel that packs to less than half."""
    pixels = np.random.default_rng(0).integers(0, 8, (side_px, side_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def packed(members: dict[str, bytes]) -> bytes:
    """A zip that is smaller than what is in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


LARGE = bmp_bytes(1000)  # 3 MB: more than the limit, less than what is kept in memory of an archive


@contextmanager
def service_on_a_full_disk(folder: Path) -> Iterator[str]:
    """A real API process that cannot write more than so many bytes to a file.

    To the process that is the same as a full disk: a write fails in the middle.
    """
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    port = find_free("127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env={
            **os.environ,
            "SELVAGE_DATA_DIR": str(folder / "data"),
            "SELVAGE_DATABASE_URL": url,
            "SELVAGE_REDIS_URL": "redis://127.0.0.1:1",
            "SELVAGE_PORT": str(port),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES)),
    )
    base = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            return httpx.get(f"{base}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(is_up, 60, "the API answers")
        yield base
    finally:
        process.kill()
        process.wait()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_write_that_fails_in_the_middle(tmp_path: Path) -> None:
    good = {"good.png": png_bytes(1)}
    with service_on_a_full_disk(tmp_path) as base, httpx.Client(base_url=base, timeout=60) as api:
        first = api.post("/v1/image-sets", files=multipart(good))
        assert first.status_code == 201
        for files in (
            {"large.bmp": LARGE},  # fails while the body is received
            {"large.zip": packed({"good2.png": png_bytes(2), "large.bmp": LARGE})},  # at the store
        ):
            answer = api.post("/v1/image-sets", files=multipart(files))
            assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")
            assert answer.json()["retryable"] is True
            assert "selvage gc" in answer.json()["detail"]
            assert str(tmp_path) not in answer.text
        assert api.post("/v1/image-sets", files=multipart(good)).status_code == 201
        entry = api.get(f"/v1/image-sets/{first.json()['id']}/images").json()["images"][0]
        assert api.get(f"/v1/images/{entry['image_digest']}").content == good["good.png"]
    objects = files_below(tmp_path / "data" / "objects")
    assert {path.read_bytes() for path in objects} == {png_bytes(1), png_bytes(2)}


class TestNearlyFull:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Installation]:
        """More must stay free than any disk has."""
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with installation(url, tmp_path / "data", min_free_bytes=1 << 60) as opened:
            yield opened

    @pytest.mark.parametrize("path", ["/v1/image-sets", "/v1/pseudo-labels"])
    def test_uploads_are_refused_before_they_are_read(self, site: Installation, path: str) -> None:
        sent = []

        def body() -> Iterator[bytes]:
            sent.append(1)
            yield b"--x\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000000"}
        answer = site.client.post(path, content=body(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")
        assert answer.headers["retry-after"]
        assert files_below(site.settings.data_dir / "objects") == []

    def test_a_body_larger_than_the_disk(self, tmp_path: Path) -> None:
        """Said by its length, so before it is sent."""
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        headers = {
            "Content-Type": "multipart/form-data; boundary=x",
            "Content-Length": str(1 << 59),
        }
        with installation(url, tmp_path / "data", max_upload_bytes=1 << 60) as site:
            answer = site.client.post("/v1/image-sets", content=b"--x\r\n", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")


def failing_put(number: int, text: str) -> Any:
    def put(*_args: object, **_kwargs: object) -> None:
        raise GenericError(
            f"Generic LocalFileSystem error: Unable to open file /srv/secret/objects/images/ab#1: "
            f"{text} (os error {number})\n\nDebug source: ..."
        )

    return put


class TestRefusedWrites:
    """The library's error as it words the system's; tests/storage has real ones."""

    @pytest.mark.parametrize(
        ("number", "text", "status", "code"),
        [
            (28, "No space left on device", 507, "storage-full"),
            (122, "Disk quota exceeded", 507, "storage-full"),
            (30, "Read-only file system", 503, "storage-read-only"),
            (13, "Permission denied", 503, "storage-read-only"),
            (5, "Input/output error", 503, "storage-unavailable"),
            (116, "Stale file handle", 503, "storage-unavailable"),
        ],
    )
    def test_the_answer(
        self,
        tiny_site: Installation,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        text: str,
        status: int,
        code: str,
    ) -> None:
        site = tiny_site
        kept = post_images(site, {"a.png": png_bytes(1)})
        site.settle()
        with monkeypatch.context() as broken:
            broken.setattr(obstore, "put", failing_put(number, text))
            answer = site.client.post("/v1/image-sets", files=multipart({"b.png": png_bytes(2)}))
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert "/srv" not in answer.text
            assert "secret" not in answer.text
            assert site.client.get(f"/v1/jobs/{kept['job']['id']}/results").status_code == 200
        again = site.client.post("/v1/image-sets", files=multipart({"b.png": png_bytes(2)}))
        assert again.status_code == 201

    @pytest.mark.parametrize("number", [28, 30])
    def test_workers_wait_for_room(
        self, tiny_site: Installation, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        site = tiny_site
        job = post_images(site, {f"{n}.png": png_bytes(n) for n in range(4)})["job"]
        monkeypatch.setattr(run_chunk, "STORE_PAUSE_SECONDS", 0.0)
        with monkeypatch.context() as broken:
            broken.setattr(obstore, "put", failing_put(number, "x"))
            with pytest.raises(AssertionError, match="does not end"):
                site.settle(max_turns=8)
            job = get_job(site, job["id"])
            assert (job["status"], job["counts"]["failed"]) == ("running", 0)
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 4)
