"""failure_policy.max_attempts: how often an image may kill its worker."""

import pytest
from sqlalchemy import update

from domain import leases
from storage.catalog.engine import Catalog
from storage.catalog.tables import JobRow
from tests.support.rows import add_job, assert_consistent, claim_items, get_items


@pytest.mark.parametrize(
    ("max_attempts", "of_the_installation", "deaths"),
    [(1, 3, 1), (2, 3, 2), (5, 3, 5), (None, 3, 3)],
)
def test_an_image_that_kills_its_workers(
    catalog: Catalog, max_attempts: int | None, of_the_installation: int, deaths: int
) -> None:
    job_id = add_job(catalog, 2)
    policy = {"max_failed_fraction": 0.5, "min_failed_images": 20, "max_attempts": max_attempts}
    with catalog.write() as session:
        session.execute(update(JobRow).values(failure_policy=policy))
    for death in range(1, deaths + 1):
        assert get_items(catalog, job_id)[0].status == "queued"
        claimed = claim_items(catalog, job_id, [0], owner=f"wrk_{death}")
        leases.take_back(catalog, claimed.lease, of_the_installation)
    item = get_items(catalog, job_id)[0]
    assert (item.status, item.kills, item.error["code"]) == ("failed", deaths, "worker-lost")
    assert assert_consistent(catalog, job_id).status == "running"  # the other image goes on


def test_a_job_from_before_the_field(catalog: Catalog) -> None:
    job_id = add_job(catalog, 1)
    policy = {"max_failed_fraction": 0.5, "min_failed_images": 20}
    with catalog.write() as session:
        session.execute(update(JobRow).values(failure_policy=policy))
    claimed = claim_items(catalog, job_id, [0])
    leases.take_back(catalog, claimed.lease, 1)
    assert get_items(catalog, job_id)[0].status == "failed"
