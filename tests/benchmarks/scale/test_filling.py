"""The catalog that is measured is one that the service could have written."""

from collections import Counter

from benchmarks.scale.filling import fill
from service import rendering
from storage.catalog import items, jobs
from storage.catalog.engine import Catalog


def test_counts_of_the_job_are_those_of_its_items(catalog: Catalog) -> None:
    first, second = fill(catalog, jobs=2, items_per_job=1100)
    with catalog.read() as session:
        for job_id in (first, second):
            rows = items.list_items(session, job_id, limit=2000)
            counted = Counter(row.status for row in rows)
            job = jobs.get_job(session, job_id)
            assert job is not None
            assert counted == {"queued": 550, "succeeded": 544, "failed": 6}
            assert (job.queued, job.succeeded, job.failed, job.total) == (550, 544, 6, 1100)


def test_the_api_can_show_what_was_written(catalog: Catalog) -> None:
    (job_id,) = fill(catalog, jobs=1, items_per_job=10)
    with catalog.read() as session:
        rows = items.list_items(session, job_id)
        shown = [rendering.job_item(row) for row in rows]
        job = jobs.get_job(session, job_id)
        assert job is not None
        assert rendering.job(session, job).counts.total == 10
    assert [item.status for item in shown] == ["failed", *["succeeded"] * 4, *["queued"] * 5]
    assert shown[0].error is not None
    assert shown[1].label_id is not None
