"""Stores that fail while people upload and workers work: a problem that passes, nothing lost."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.objects import Objects
from tests.support.api import get_job, label_bytes, multipart, nonzero, post_images
from tests.support.catalogs import new_sqlite_catalog
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.images import png_bytes
from tests.support.installation import ALL_HANDLERS, Installation, installation
from tests.support.s3 import S3Server
from workers import run_chunk

IMAGES = {f"{n}.png": png_bytes(n) for n in range(12)}
KEEP_HALF: dict[str, Any] = {"select": {"keep_fraction": 0.5}, "pilot_images": 4}
FAULTS: dict[str, dict[str, Any]] = {
    "500": {"answer_500": True},
    "refuses": {"refuse": True},
    "silent": {"silent": True},
    "cut answers": {"cut_answer_after_bytes": 30},
    "cut requests": {"cut_request_after_bytes": 0, "cut_answer_after_bytes": 0},
}


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(s3_server.url) as opened:
        yield opened


@contextmanager
def behind(
    proxy: FaultyProxy, server: S3Server, catalog_url: str, folder: Path
) -> Iterator[Installation]:
    """Objects on S3 behind a bad network."""
    changes = server.settings(
        server.new_bucket(), s3_endpoint=proxy.url, s3_timeout_seconds=0.5, s3_retries=1
    )
    with installation(catalog_url, folder / "data", chunk_max_images=3, **changes) as opened:
        opened.add_tiny_model(folder / "tiny")
        yield opened


@pytest.fixture
def site(s3_server: S3Server, proxy: FaultyProxy, tmp_path: Path) -> Iterator[Installation]:
    url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    with behind(proxy, s3_server, url, tmp_path) as opened:
        yield opened


@pytest.fixture
def any_site(
    s3_server: S3Server, proxy: FaultyProxy, catalog_url: str, tmp_path: Path
) -> Iterator[Installation]:
    """The same on both databases."""
    with behind(proxy, s3_server, catalog_url, tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_chunk, "STORE_PAUSE_SECONDS", 0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    """The labels as they come without any fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    url = new_sqlite_catalog(folder / "catalog.sqlite3")
    with installation(url, folder / "data") as site:
        site.add_tiny_model(folder / "tiny")
        job = post_images(site, IMAGES, pipeline=KEEP_HALF)["job"]
        site.settle()
        return label_bytes(site, job["id"])


def break_network(proxy: FaultyProxy, fault: str) -> None:
    for name, value in FAULTS[fault].items():
        setattr(proxy.faults, name, value)


def is_clean(answer: httpx.Response) -> bool:
    """No path, no address, no trace of the inside."""
    inside = ("127.0.0.1", "bucket-", "pre/fix", "/srv", "Traceback", "images/", "obstore", "/tmp")
    return not any(word in answer.text for word in inside)


def post(site: Installation, files: dict[str, bytes], **kwargs: Any) -> httpx.Response:
    answer: Any = site.client.post("/v1/image-sets", files=multipart(files), **kwargs)
    return answer  # the same class by another name


class TestUploads:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_an_upload_is_refused_and_works_when_sent_again(
        self, site: Installation, proxy: FaultyProxy, fault: str
    ) -> None:
        first = post(site, {"0.png": IMAGES["0.png"]}).json()
        break_network(proxy, fault)
        headers = {"Idempotency-Key": "the same key"}
        answer = post(site, IMAGES, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
        assert answer.json()["retryable"] is True
        assert is_clean(answer)
        proxy.faults.mend()
        again = post(site, IMAGES, headers=headers)
        assert again.status_code == 201
        assert again.json()["counts"]["accepted"] == 12
        entries = site.client.get(f"/v1/image-sets/{first['id']}/images").json()["images"]
        kept = site.client.get(f"/v1/images/{entries[0]['image_digest']}")
        assert kept.content == IMAGES["0.png"]

    def test_a_store_that_breaks_in_the_middle(
        self,
        site: Installation,
        proxy: FaultyProxy,
        s3_server: S3Server,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Some files are stored, the set is not there; what is stored is whole."""
        sets_before = len(site.client.get("/v1/image-sets").json()["image_sets"])

        puts = 0
        put_new = site.objects.put_new

        def counted(key: str, data: Any) -> bool:
            nonlocal puts
            puts += 1
            if puts == 6:
                break_network(proxy, "refuses")
            return put_new(key, data)

        monkeypatch.setattr(site.objects, "put_new", counted)
        assert post(site, IMAGES).status_code == 503
        direct = Objects.open(s3_server.address(s3_server.last_bucket))
        stored = {direct.get(facts.key) for facts in direct.list("images")}
        assert len(stored) == 5
        assert stored <= set(IMAGES.values())
        proxy.faults.mend()
        usable = [
            s for s in site.client.get("/v1/image-sets").json()["image_sets"]
            if s["status"] == "ready"
        ]  # fmt: skip
        assert len(usable) == sets_before


class TestWorkers:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_job_outlives_the_fault_with_the_same_bytes(
        self,
        site: Installation,
        proxy: FaultyProxy,
        undisturbed: dict[str, tuple[bytes, bytes]],
        fault: str,
    ) -> None:
        job = post_images(site, IMAGES, pipeline=KEEP_HALF)["job"]
        for _ in range(4):  # the pilot, and the first chunks of pass 1
            work_once(site)
        counts_before = nonzero(get_job(site, job["id"])["counts"])
        break_network(proxy, fault)
        for _ in range(4):
            work_once(site)
        broken = get_job(site, job["id"])
        assert not broken["done"]
        assert broken["counts"]["failed"] == 0
        assert broken["counts"]["succeeded"] >= counts_before.get("succeeded", 0)
        proxy.faults.mend()
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 12)
        assert label_bytes(site, job["id"]) == undisturbed

    def test_faults_that_come_and_go(
        self,
        any_site: Installation,
        proxy: FaultyProxy,
        undisturbed: dict[str, tuple[bytes, bytes]],
    ) -> None:
        site = any_site
        job = post_images(site, IMAGES, pipeline=KEEP_HALF)["job"]
        over = threading.Event()

        def trouble() -> None:
            while not over.is_set():
                for fault in ("500", "cut answers", "refuses"):
                    break_network(proxy, fault)
                    over.wait(0.15)
                    proxy.faults.mend()
                    over.wait(0.25)

        thread = threading.Thread(target=trouble)
        thread.start()
        try:
            site.settle(max_turns=400)
        finally:
            over.set()
            thread.join()
            proxy.faults.mend()
        site.settle()
        job = get_job(site, job["id"])
        assert (job["status"], job["counts"]["succeeded"]) == ("succeeded", 12)
        assert label_bytes(site, job["id"]) == undisturbed


def work_once(site: Installation) -> None:
    site.schedule()
    if site.queue.sent:
        run_chunk.run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))
