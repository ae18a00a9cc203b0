"""Ingest under faults: workers that die at every step, deadly files, cancelling, lost leases."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api_schemas.problems import SourceUnreachable, StorageUnavailable
from domain import image_sets, ingest, sweep
from domain.jobs import cancel
from domain.leases import claim
from storage.catalog.engine import Catalog
from storage.catalog.image_sets import list_entries
from storage.catalog.reachability import referenced
from storage.objects import Objects
from storage.remote.s3 import S3Source
from storage.units import unit_of
from tests.support.catalogs import new_sqlite_catalog
from tests.support.http_server import Handler, serve
from tests.support.images import png_bytes, zip_bytes
from tests.support.ingest import ask, connect, get_set, open_site, put, told, upload_file
from tests.support.installation import ALL_HANDLERS, WORKER_ID, Installation
from tests.support.rows import assert_consistent, get_chunks, get_items
from tests.support.s3 import S3Server
from workers import ingest_entries, ingest_writer
from workers.run_chunk import run_chunk

MAX_DEATHS = 60
PAGES = {
    "/0.png": png_bytes(0),
    "/1.png": png_bytes(1),
    "/a.zip": zip_bytes({f"{i}.png": png_bytes(i) for i in range(1, 6)} | {"bad.png": b"bad"}),
    "/same.png": png_bytes(0),
    "/text.png": b"text",
    "/9.png": png_bytes(9),
}
EXPECTED = {
    "0.png": "accepted", "1.png": "accepted", "1 (2).png": "duplicate", "2.png": "accepted",
    "3.png": "accepted", "4.png": "accepted", "5.png": "accepted", "bad.png": "not-an-image",
    "same.png": "duplicate", "text.png": "not-an-image", "gone.png": "source-missing",
    "9.png": "accepted",
}  # fmt: skip


class Died(BaseException):
    """kill -9, as far as one process can play it."""


@pytest.fixture
def site(catalog_url: str, tmp_path: Path) -> Iterator[Installation]:
    with open_site(catalog_url, tmp_path / "data") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sets, "BATCH_FILES", 3)
    monkeypatch.setattr(ingest_writer, "CAREFUL_FILES", 4)


def settle(site: Installation) -> int:
    """Play scheduler and workers until nothing is left to do; returns how many workers died."""
    deaths = 0
    for _ in range(4 * MAX_DEATHS):
        site.scheduler.turn()
        if not site.queue.sent:
            return deaths
        try:
            run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))
        except Died:
            deaths += 1
            sweep.bury_worker(site.catalog, WORKER_ID, max_kills=3)
    raise AssertionError("the work does not end")


def ask_pages(site: Installation, url: str) -> dict[str, Any]:
    paths = [*PAGES]
    paths.insert(5, "/gone.png")
    return ask(site, {"type": "urls", "urls": [url + path for path in paths]})


def check_whole(site: Installation, asked: dict[str, Any], expected: dict[str, str]) -> None:
    """As if nothing had happened: every file once, in order, counted right."""
    assert told(site, asked) == expected
    job = assert_consistent(site.catalog, asked["job"]["id"])
    assert job.status == ("partial" if job.failed else "succeeded")
    assert job.total == len(expected)
    with site.catalog.read() as session:
        entries = list_entries(session, asked["image_set"]["id"])
    items = get_items(site.catalog, job.id)
    assert [entry.position for entry in entries] == list(range(len(expected)))
    assert [(i.position, i.external_id, i.image_digest) for i in items] == [
        (e.position, e.external_id, e.image_digest) for e in entries
    ]
    found = get_set(site, asked)
    assert found["status"] == "ready"
    assert found["counts"]["total"] == len(expected)
    assert all(chunk.status == "done" for chunk in get_chunks(site.catalog, job.id))


@contextmanager
def dying(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, at_call: int, *, after: bool
) -> Iterator[None]:
    """Let the worker die at one call of a function, before or after its work."""
    original: Callable[..., Any] = getattr(target, name)
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call and not after:
            raise Died
        result = original(*args, **kwargs)
        if calls == at_call:
            raise Died
        return result

    with monkeypatch.context() as patch:
        patch.setattr(target, name, wrapped)
        yield


class TestDeaths:
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("at_call", range(1, 7))
    def test_at_every_commit(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch, at_call: int, after: bool
    ) -> None:
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            with dying(monkeypatch, ingest, "commit", at_call, after=after):
                deaths = settle(site)
        assert deaths <= 1
        check_whole(site, asked, EXPECTED)

    @pytest.mark.parametrize("at_call", range(1, 12))
    def test_at_every_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_call: int
    ) -> None:
        url = new_sqlite_catalog(tmp_path / "catalog.sqlite3")
        with open_site(url, tmp_path / "data") as site, serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            with dying(monkeypatch, image_sets, "store", at_call, after=at_call % 2 == 0):
                settle(site)
            check_whole(site, asked, EXPECTED)

    @pytest.mark.parametrize("at_call", range(1, 6))
    def test_in_a_bucket(
        self, site: Installation, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, at_call: int
    ) -> None:
        bucket = s3_server.new_bucket()
        inner = {f"in{i}.png": png_bytes(10 + i) for i in range(5)}
        files = {"a.png": png_bytes(1), "b.zip": zip_bytes(inner), "c.png": png_bytes(3)}
        put(s3_server, bucket, files)
        lab = connect(site, s3_server, bucket)
        asked = ask(site, {"type": "s3_prefix", "connection": lab})
        original = ingest.commit
        calls = 0

        def commit(*args: Any, **kwargs: Any) -> bool:
            nonlocal calls
            calls += 1
            result = original(*args, **kwargs)
            if calls == at_call:
                # what comes late must not move the place: it sorts before the archive
                put(s3_server, bucket, {"aa.png": png_bytes(99)})
                raise Died
            return result

        monkeypatch.setattr(ingest, "commit", commit)
        settle(site)
        names = [name for name in told(site, asked) if name != "aa.png"]
        assert names == ["a.png", *inner, "c.png"]

    def test_in_an_upload(self, site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = {f"{i}.png": png_bytes(i) for i in range(8)}
        for at_call in range(1, 5):
            upload = upload_file(site, zip_bytes(inner), "u.zip")
            asked = ask(site, {"type": "upload", "upload": upload})
            with dying(monkeypatch, ingest, "commit", at_call, after=True):
                settle(site)
            check_whole(site, asked, dict.fromkeys(inner, "accepted"))

    @pytest.mark.parametrize("deadly", [0, 1, 4, 6])
    def test_a_file_that_kills_every_worker_is_set_aside(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch, deadly: int
    ) -> None:
        pages = {f"/{i}.png": png_bytes(i) for i in range(7)}
        original = image_sets.store

        def store(objects: Objects, found: Any) -> Any:
            if found.name == f"{deadly}.png":
                raise Died
            return original(objects, found)

        monkeypatch.setattr(image_sets, "store", store)
        with serve(pages) as web:
            asked = ask(site, {"type": "urls", "urls": [web.url + path for path in pages]})
            assert settle(site) == 2
        expected = {f"{i}.png": "accepted" for i in range(7)}
        check_whole(site, asked, {**expected, f"{deadly}.png": "worker-lost"})

    def test_a_deadly_file_in_an_archive(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = image_sets.store

        def store(objects: Objects, found: Any) -> Any:
            if found.name == "3.png":
                raise Died
            return original(objects, found)

        monkeypatch.setattr(image_sets, "store", store)
        data = zip_bytes({f"{i}.png": png_bytes(i) for i in range(6)})
        asked = ask(site, {"type": "upload", "upload": upload_file(site, data, "u.zip")})
        settle(site)
        expected = {f"{i}.png": "accepted" for i in range(6) if i != 3}
        found = told(site, asked)
        assert found == {**expected, "u.zip": "worker-lost"}
        assert_consistent(site.catalog, asked["job"]["id"])

    def test_a_step_that_always_kills_ends_the_job(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_list(*_: Any) -> Any:
            raise Died

        monkeypatch.setattr("workers.ingest.count_lines", no_list)
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            assert settle(site) == 3
        job = assert_consistent(site.catalog, asked["job"]["id"])
        assert (job.status, job.error["code"]) == ("failed", "worker-lost")
        assert get_set(site, asked)["status"] == "failed"


class TestStops:
    def test_cancelled_in_the_middle(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = ingest.commit
        job_id = ""

        def commit(catalog: Catalog, *args: Any, **kwargs: Any) -> bool:
            result = original(catalog, *args, **kwargs)
            cancel(catalog, job_id)
            return result

        monkeypatch.setattr(ingest, "commit", commit)
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            job_id = asked["job"]["id"]
            settle(site)
        job = assert_consistent(site.catalog, job_id)
        assert job.status == "cancelled"
        assert 0 < job.succeeded < len(EXPECTED)
        assert job.cancelled > 0
        found = get_set(site, asked)
        assert (found["status"], found["problem"]["code"]) == ("failed", "state-conflict")
        assert len(told(site, asked)) == job.succeeded + job.failed

    def test_asked_to_stop_and_taken_up_again(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = image_sets.store
        taken = 0

        def store(objects: Objects, found: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == 2:
                site.runtime.draining.set()
            return original(objects, found)

        monkeypatch.setattr(image_sets, "store", store)
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            site.scheduler.turn()
            run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))
            (chunk,) = get_chunks(site.catalog, asked["job"]["id"])
            assert (chunk.status, chunk.kills) == ("ready", 0)
            site.runtime.draining.clear()
            settle(site)
        check_whole(site, asked, EXPECTED)

    def test_an_old_lease_cannot_write(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker sleeps past its lease while another one does the work, and wakes up."""
        original = ingest.commit
        stolen = False

        def commit(catalog: Catalog, lease: Any, *args: Any, **kwargs: Any) -> bool:
            nonlocal stolen
            if not stolen:
                stolen = True
                sweep.bury_worker(catalog, lease.owner, max_kills=3)
                other = claim(catalog, lease.chunk_id, "wrk_other", 60.0)
                assert other is not None
            return original(catalog, lease, *args, **kwargs)

        monkeypatch.setattr(ingest, "commit", commit)
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            site.scheduler.turn()
            run_chunk(site.runtime, ALL_HANDLERS, site.queue.sent.pop(0))
            assert told(site, asked) == {}
            sweep.bury_worker(site.catalog, "wrk_other", max_kills=3)
            settle(site)
        check_whole(site, asked, EXPECTED)

    def test_the_store_fails_for_a_while(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.run_chunk.STORE_PAUSE_SECONDS", 0.0)
        original = image_sets.store
        taken = 0

        def store(objects: Objects, found: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken in (3, 4):
                raise StorageUnavailable("The object store failed.")
            return original(objects, found)

        monkeypatch.setattr(image_sets, "store", store)
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            settle(site)
        check_whole(site, asked, EXPECTED)


def wanted(site: Installation, key: str) -> set[str]:
    """What the collector must not take."""
    with site.catalog.read() as session:
        return referenced(session, [key], evidence_seconds=0.0)


class TestSources:
    def test_an_archive_that_changes_at_its_source(
        self, site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions = iter(range(100))

        def page(handler: Handler) -> None:
            version = next(versions)
            files = {f"v{version}-{i}.png": png_bytes(i) for i in range(6)}
            handler.answer(200, zip_bytes(files))

        with serve({"/a.zip": page}) as web:
            asked = ask(site, {"type": "urls", "urls": [f"{web.url}/a.zip"]})
            with dying(monkeypatch, ingest, "commit", 1, after=True):
                settle(site)
        found = told(site, asked)
        assert found["a.zip"] == "source-changed"
        assert {name for name in found if name != "a.zip"} == {f"v0-{i}.png" for i in range(3)}

    def test_a_listing_that_fails_for_a_while_goes_on_where_it_was(
        self, site: Installation, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ingest_entries, "LISTING_PAUSES_SECONDS", (0.0, 0.0))
        bucket = s3_server.new_bucket()
        put(s3_server, bucket, {f"{i}.png": png_bytes(i) for i in range(6)})
        lab = connect(site, s3_server, bucket)
        original = S3Source.iterate
        failures = iter((2, 1, 0, 9))

        def iterate(self: S3Source, *args: Any, **kwargs: Any) -> Iterator[Any]:
            left = next(failures, 9)
            for found in original(self, *args, **kwargs):
                if left == 0:
                    raise SourceUnreachable("It did not answer.")
                left -= 1
                yield found

        monkeypatch.setattr(S3Source, "iterate", iterate)
        asked = ask(site, {"type": "s3_prefix", "connection": lab})
        settle(site)
        check_whole(site, asked, {f"{i}.png": "accepted" for i in range(6)})

    def test_a_listing_that_fails_for_good_ends_the_job(
        self, site: Installation, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ingest_entries, "LISTING_PAUSES_SECONDS", (0.0, 0.0))
        lab = connect(site, s3_server, s3_server.new_bucket())

        def iterate(self: S3Source, *_: Any, **__: Any) -> Iterator[Any]:
            raise SourceUnreachable("It did not answer.")

        monkeypatch.setattr(S3Source, "iterate", iterate)
        asked = ask(site, {"type": "s3_prefix", "connection": lab})
        settle(site)
        job = assert_consistent(site.catalog, asked["job"]["id"])
        assert (job.status, job.error["code"]) == ("failed", "source-unreachable")

    def test_the_list_is_gone_when_the_job_is_done(self, site: Installation) -> None:
        with serve(PAGES) as web:
            asked = ask_pages(site, web.url)
            (key,) = (o.key for o in site.objects.list("worklists"))
            assert unit_of(key) == key
            assert wanted(site, key) == {key}
            settle(site)
            assert list(site.objects.list("worklists")) == []
            assert wanted(site, key) == set()
            late = ask_pages(site, web.url)
            cancel(site.catalog, late["job"]["id"])  # nobody is there to delete its list
        (key,) = (o.key for o in site.objects.list("worklists"))
        assert wanted(site, key) == set()  # so the collector does
        assert get_set(site, asked)["status"] == "ready"
