"""Files of the store over HTTP: inline, by link, from the client's own copy, and when they fail."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from storage.objects import image_key
from tests.support.api import get_items, post_images, post_set
from tests.support.catalogs import new_sqlite_catalog
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.images import png_bytes
from tests.support.installation import Installation, installation
from tests.support.s3 import S3Server


def noise_png(side_px: int, seed: int = 0) -> bytes:
    """An image whose file is about 3 bytes a pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


SMALL = png_bytes(1)
LARGE = noise_png(700)  # 1.5 MB: streamed


def image_address(site: Installation, data: bytes) -> str:
    created = post_set(site, {"a.png": data})
    entry = site.client.get(f"/v1/image-sets/{created['id']}/images").json()["images"][0]
    return f"/v1/images/{entry['image_digest']}"


def label_address(site: Installation, folder: Path) -> str:
    site.add_tiny_model(folder)
    job = post_images(site, {"a.png": SMALL})["job"]
    site.settle()
    label = get_items(site, job["id"])["a.png"]["label_id"]
    return f"/v1/labels/{label}/artifacts/label.png"


def ask(site: Installation, address: str, **kwargs: Any) -> httpx.Response:
    answer: Any = site.client.get(address, follow_redirects=False, **kwargs)
    return answer  # the same class by another name


class TestInline:
    @pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
    @pytest.mark.parametrize("redirect", [None, "true", "false"])
    def test_a_folder_sends_the_file_in_any_case(
        self, sqlite_site: Installation, data: bytes, redirect: str | None
    ) -> None:
        address = image_address(sqlite_site, data)
        params = {"redirect": redirect} if redirect else {}
        answer = ask(sqlite_site, address, params=params)
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-length"] == str(len(data))
        assert "immutable" in answer.headers["cache-control"]

    @pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
    def test_s3_sends_what_is_not_large(self, s3_site: Installation, data: bytes) -> None:
        answer = ask(s3_site, image_address(s3_site, data))
        assert (answer.status_code, answer.content) == (200, data)

    def test_the_copy_that_the_client_has(self, sqlite_site: Installation, tmp_path: Path) -> None:
        site = sqlite_site
        for address in (image_address(site, SMALL), label_address(site, tmp_path / "tiny")):
            etag = ask(site, address).headers["etag"]
            for sent in (etag, f'"other", {etag}', "*", f"W/{etag}"):
                answer = ask(site, address, headers={"If-None-Match": sent})
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["etag"] == etag
            assert ask(site, address, headers={"If-None-Match": '"other"'}).status_code == 200

    def test_a_file_that_is_gone(self, sqlite_site: Installation) -> None:
        address = image_address(sqlite_site, SMALL)
        sqlite_site.objects.delete([image_key(address.rpartition("/")[2])])
        answer = ask(sqlite_site, address)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "object store" in answer.json()["detail"]


class TestLinks:
    def test_asked_for(self, s3_site: Installation, tmp_path: Path) -> None:
        address = label_address(s3_site, tmp_path / "tiny")
        answer = ask(s3_site, address, params={"redirect": "true"})
        assert answer.status_code == 303
        assert answer.headers["cache-control"] == "no-store"
        assert answer.content == b""
        found = httpx.get(answer.headers["location"])
        assert found.headers["content-type"] == "image/png"
        assert found.content == ask(s3_site, address).content

    def test_as_json(self, s3_site: Installation) -> None:
        address = image_address(s3_site, SMALL)
        answer = ask(s3_site, address, params={"redirect": "false"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        link = answer.json()
        assert httpx.get(link["url"]).content == SMALL
        assert "X-Amz-Expires=900&" in link["url"]
        left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=14) < left <= timedelta(minutes=15)

    def test_large_files_by_themselves(self, s3_server: S3Server, tmp_path: Path) -> None:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        changes = s3_server.settings(s3_server.new_bucket(), redirect_bytes=len(LARGE))
        with installation(url, tmp_path / "data", **changes) as site:
            assert ask(site, image_address(site, SMALL)).content == SMALL
            answer = ask(site, image_address(site, LARGE))
            assert answer.status_code == 303
            assert httpx.get(answer.headers["location"]).content == LARGE

    def test_no_link_to_what_is_gone(self, s3_site: Installation) -> None:
        address = image_address(s3_site, SMALL)
        s3_site.objects.delete([image_key(address.rpartition("/")[2])])
        assert ask(s3_site, address, params={"redirect": "true"}).status_code == 404


class TestFaults:
    @pytest.fixture
    def proxy(self, s3_server: S3Server) -> Iterator[FaultyProxy]:
        with faulty_proxy(s3_server.url) as opened:
            yield opened

    @pytest.fixture
    def site(
        self, s3_server: S3Server, proxy: FaultyProxy, tmp_path: Path
    ) -> Iterator[Installation]:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        changes = s3_server.settings(
            s3_server.new_bucket(), s3_endpoint=proxy.url, s3_timeout_seconds=1.0, s3_retries=1
        )
        with installation(url, tmp_path / "data", **changes) as opened:
            yield opened

    @pytest.mark.parametrize("fault", ["answer_500", "refuse", "silent"])
    @pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
    def test_a_store_that_fails_is_a_problem_that_passes(
        self, site: Installation, proxy: FaultyProxy, fault: str, data: bytes
    ) -> None:
        address = image_address(site, data)
        setattr(proxy.faults, fault, True)
        answer = ask(site, address)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert answer.json()["retryable"] is True
        assert int(answer.headers["retry-after"]) > 0
        for secret in ("127.0.0.1", "bucket-", "pre/fix", "/srv/data", "Traceback"):
            assert secret not in answer.text
        proxy.faults.mend()
        assert ask(site, address).content == data
