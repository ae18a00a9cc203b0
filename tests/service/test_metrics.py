"""GET /metrics: figures of requests and of the catalog, in the format that Prometheus reads."""

import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert

from domain.leases import Commit, commit
from service.http_metrics import METHODS
from storage.catalog.engine import db_now
from storage.catalog.tables import JobItemRow, JobRow
from tests.support.api import post_set
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.rows import LEASE_SECONDS, add_job, claim_items, failure, success

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(site: Installation) -> Samples:
    answer = site.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples_of(answer.text)


def samples_of(text: str) -> Samples:
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(family.documentation for family in families)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


class TestCatalog:
    def test_jobs_queues_and_workers(self, site: Installation) -> None:
        waiting = add_job(site.catalog, 5)
        begun = add_job(site.catalog, 4)
        claimed = claim_items(site.catalog, begun, [0, 1])
        outcomes = [success(site.catalog, begun, 0), failure(1)]
        commit(site.catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
        done = add_job(site.catalog, 1)
        claimed = claim_items(site.catalog, done, [0])
        outcomes = [success(site.catalog, done, 0)]
        commit(site.catalog, claimed.lease, Commit(outcomes, close=True), LEASE_SECONDS)
        with site.catalog.write() as session:
            row = session.get(JobRow, waiting)
            assert row is not None
            row.created_at -= 100
        found = scrape(site)
        assert of(found, "selvage_catalog_up") == 1
        assert of(found, "selvage_jobs", type="generate", status="running") == 2
        assert of(found, "selvage_jobs", type="generate", status="succeeded") == 1
        assert of(found, "selvage_job_images", type="generate", status="queued") == 7
        assert of(found, "selvage_job_images", type="generate", status="succeeded") == 2
        assert of(found, "selvage_job_images", type="generate", status="failed") == 1
        assert of(found, "selvage_queue_depth", queue="label") == 7
        assert of(found, "selvage_queue_depth", queue="light") == 0
        oldest = of(found, "selvage_queue_oldest_seconds", queue="label")
        assert oldest is not None
        assert 100 <= oldest < 200
        assert of(found, "selvage_queue_oldest_seconds", queue="light") == 0
        assert of(found, "selvage_workers", queue="label") == 1
        assert of(found, "selvage_workers", queue="light") == 1

    def test_nothing_is_read_again_at_once(self, sqlite_site: Installation) -> None:
        scrape(sqlite_site)
        add_job(sqlite_site.catalog, 3)
        statements: list[str] = []

        def note(*arguments: Any) -> None:
            statements.append(arguments[2])

        event.listen(sqlite_site.catalog.engine, "before_cursor_execute", note)
        assert of(scrape(sqlite_site), "selvage_queue_depth", queue="label") == 0
        assert [s for s in statements if "FROM job" in s] == []

    def test_a_job_that_is_due_later_does_not_wait(self, site: Installation) -> None:
        job_id = add_job(site.catalog, 2)
        with site.catalog.write() as session:
            row = session.get(JobRow, job_id)
            assert row is not None
            row.created_at -= 500
            row.schedule_at = time.time() + 3600
        assert of(scrape(site), "selvage_queue_oldest_seconds", queue="label") == 0

    def test_the_catalog_is_away(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from sqlalchemy.exc import OperationalError

        def fail(*_: object, **__: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("gone"))

        monkeypatch.setattr("service.catalog_metrics.gauges.job_figures", fail)
        found = scrape(sqlite_site)
        assert of(found, "selvage_catalog_up") == 0
        assert not any(name == "selvage_jobs" for name, _ in found)
        assert any(name == "selvage_http_requests_total" for name, _ in found) or found

    def test_items_are_not_counted(self, site: Installation) -> None:
        """As quick with many items as with few: the counts stand on the jobs."""
        job_id = add_job(site.catalog, 1)
        rows = [
            {
                "job_id": job_id, "position": i, "external_id": str(i), "file_name": str(i),
                "status": "queued", "attempts": 0, "kills": 0,
            }
            for i in range(10, 20_010)
        ]  # fmt: skip
        with site.catalog.write() as session:
            session.execute(insert(JobItemRow), rows)
        statements: list[str] = []

        def note(*arguments: Any) -> None:
            statements.append(arguments[2])

        event.listen(site.catalog.engine, "before_cursor_execute", note)
        scrape(site)
        assert not [s for s in statements if "job_item" in s]
        assert len([s for s in statements if "SELECT" in s]) <= 6


class TestIntake:
    def test_files_that_were_stored_and_refused(self, sqlite_site: Installation) -> None:
        def count(outcome: str) -> float:
            found = scrape(sqlite_site)
            return of(found, "selvage_images_total", stage="intake", outcome=outcome) or 0

        before = count("succeeded"), count("failed")
        post_set(sqlite_site, {"a.png": png_bytes(1), "b.png": png_bytes(2), "c.png": b"no image"})
        assert (count("succeeded"), count("failed")) == (before[0] + 2, before[1] + 1)
        timed = of(scrape(sqlite_site), "selvage_stage_seconds_count", stage="intake")
        assert timed is not None
        assert timed >= 2


class TestRequests:
    def count(self, site: Installation, **labels: str) -> float:
        return of(scrape(site), "selvage_http_requests_total", **labels) or 0

    def test_by_template(self, sqlite_site: Installation) -> None:
        job_id = add_job(sqlite_site.catalog, 1)
        labels = {"method": "GET", "route": "/v1/jobs/{job_id}"}
        before = self.count(sqlite_site, **labels, status="200")
        missing = self.count(sqlite_site, **labels, status="404")
        for _ in range(3):
            sqlite_site.client.get(f"/v1/jobs/{job_id}")
        sqlite_site.client.get("/v1/jobs/job_none")
        assert self.count(sqlite_site, **labels, status="200") == before + 3
        assert self.count(sqlite_site, **labels, status="404") == missing + 1
        timed = of(scrape(sqlite_site), "selvage_http_request_seconds_count", **labels)
        assert timed is not None
        assert timed >= 4

    def test_what_clients_write_is_no_label(self, sqlite_site: Installation) -> None:
        hostile = ["/v1/nothing", "/v1/jobs/job_x/what", "/%00", "/a\u202eb", "/x" * 3000]
        for path in hostile:
            sqlite_site.client.get(path)
        sqlite_site.client.request("BREW", "/v1/jobs")
        sqlite_site.client.head("/v1/jobs")
        text = sqlite_site.client.get("/metrics").text
        for (name, labels), _ in samples_of(text).items():
            if name.startswith("selvage_http_requests"):
                values = dict(labels)
                assert values["method"] in METHODS | {"other"}
                assert values["route"] == "none" or values["route"].startswith("/")
                assert "job_" not in values["route"].replace("{job_id}", "")
                assert len(values["route"]) < 80
        assert 'method="HEAD",route="/v1/jobs"' in text
        assert 'method="other"' in text
        assert "nothing" not in text
        assert "BREW" not in text

    def test_an_error_of_ours_is_counted(
        self, sqlite_site: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        labels = {"method": "GET", "route": "/v1/jobs", "status": "500"}
        before = self.count(sqlite_site, **labels)
        monkeypatch.setattr("storage.catalog.jobs.list_jobs", fail)
        assert sqlite_site.client.get("/v1/jobs").status_code == 500
        assert self.count(sqlite_site, **labels) == before + 1


def test_the_clock_is_the_databases(site: Installation) -> None:
    """Ages are differences of one clock, whatever this machine's says."""
    add_job(site.catalog, 1)
    with site.catalog.write() as session:
        session.query(JobRow).update({"created_at": db_now() - 50}, synchronize_session=False)
    oldest = of(scrape(site), "selvage_queue_oldest_seconds", queue="label")
    assert oldest is not None
    assert 50 <= oldest < 70
