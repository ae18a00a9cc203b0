"""What is told, to whom, and in the transaction in which it happens."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from api_schemas.problems import DeadlineExceeded, NoUsableImage, ProblemError
from api_schemas.webhooks import WebhookEndpointCreate
from domain import job_states, leases, models, webhook_outbox, webhooks
from domain.leases import Commit
from domain.secrets import SecretKeeper
from domain.settings import Settings
from storage.catalog import jobs as job_rows
from storage.catalog.engine import Catalog
from storage.catalog.tables import WebhookDeliveryRow
from storage.remote.addresses import AddressPolicy
from tests.support.campaigns import get as get_campaign
from tests.support.campaigns import run, start
from tests.support.rows import (
    LEASE_SECONDS,
    add_job,
    add_set,
    add_version,
    claim_items,
    failure,
    success,
)


def add(catalog: Catalog, tmp_path: Any, name: str, *events: str) -> str:
    keeper = SecretKeeper(Settings(data_dir=tmp_path))
    request = WebhookEndpointCreate.model_validate(
        {"name": name, "url": "https://example.com/hook", "events": list(events)}
    )
    with catalog.write() as session:
        return webhooks.create(session, keeper, AddressPolicy(), request, "local")[0].id


def told(catalog: Catalog, endpoint: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Events and their data, in the order in which they were written."""
    query = select(WebhookDeliveryRow).order_by(WebhookDeliveryRow.id)
    with catalog.read() as session:
        rows = session.scalars(query).all()
    return [
        (row.event, json.loads(row.body)["data"])
        for row in rows
        if endpoint is None or row.endpoint_id == endpoint
    ]


def names(catalog: Catalog, endpoint: str | None = None) -> list[str]:
    return [event for event, _ in told(catalog, endpoint)]


def work(catalog: Catalog, job_id: str, positions: list[int], *bad: int) -> None:
    """Do items of a job, one commit each."""
    claimed = claim_items(catalog, job_id, positions)
    for n in positions:
        outcome = failure(n) if n in bad else success(catalog, job_id, n)
        is_last = n == positions[-1]
        leases.commit(catalog, claimed.lease, Commit([outcome], close=is_last), LEASE_SECONDS)


class TestJobs:
    def test_from_start_to_end(self, catalog: Catalog, tmp_path: Any) -> None:
        everything = add(catalog, tmp_path, "all", "*")
        of_jobs = add(catalog, tmp_path, "jobs", "job.*")
        ends = add(catalog, tmp_path, "ends", "job.partial", "job.failed")
        nothing = add(catalog, tmp_path, "nothing")
        job_id = add_job(catalog, 4)
        work(catalog, job_id, [0, 1, 2, 3], 2)
        progress = ["job.progress"] * 3
        assert names(catalog, of_jobs) == ["job.started", *progress, "job.partial"]
        assert names(catalog, everything) == [
            "model.promoted",
            "image_set.ready",
            *names(catalog, of_jobs),
            "label.review_requested",
        ]
        waiting = told(catalog, everything)[-1][1]
        assert (waiting["job"], waiting["labels"]) == (job_id, 3)
        ((event, data),) = told(catalog, ends)
        assert (event, data["id"], data["status"], data["fraction"]) == (
            "job.partial",
            job_id,
            "partial",
            1.0,
        )
        assert data["counts"] == {
            "total": 4, "queued": 0, "running": 0, "succeeded": 3, "failed": 1, "skipped": 0,
            "cancelled": 0,
        }  # fmt: skip
        assert told(catalog, nothing) == []
        fractions = [d["fraction"] for e, d in told(catalog, of_jobs) if e == "job.progress"]
        assert fractions == [0.25, 0.5, 0.75]

    def test_nobody_asked_nothing_written(self, catalog: Catalog) -> None:
        work(catalog, add_job(catalog, 2), [0, 1])
        assert told(catalog) == []

    def test_a_large_job_tells_of_tenths(self, catalog: Catalog, tmp_path: Any) -> None:
        add(catalog, tmp_path, "progress", "job.progress")
        work(catalog, add_job(catalog, 40), list(range(40)))
        fractions = [data["fraction"] for _, data in told(catalog)]
        assert fractions == [n / 10 for n in range(1, 10)]

    @pytest.mark.parametrize(
        ("end", "error"),
        [
            ("job.cancelled", None),
            ("job.failed", NoUsableImage("There is none.")),
            ("job.expired", DeadlineExceeded("It is late.")),
        ],
    )
    def test_other_ends(
        self, catalog: Catalog, tmp_path: Any, end: str, error: ProblemError | None
    ) -> None:
        add(catalog, tmp_path, "ends", end)
        job_id = add_job(catalog, 2)
        with catalog.write() as session:
            job = job_rows.lock_job(session, job_id)
            if error is None:
                job_states.set_status(job, "cancelling")
            else:
                job_states.fail_job(job, error)
            job_states.cancel_some(session, job)
            job_states.settle(session, job)
        ((event, data),) = told(catalog)
        assert (event, data["status"]) == (end, end.removeprefix("job."))
        assert (data["error"] or {}).get("code") == (error and error.code)

    def test_undone_with_its_transaction(self, catalog: Catalog, tmp_path: Any) -> None:
        add(catalog, tmp_path, "all", "*")
        with catalog.write() as session:
            assert webhook_outbox.publish(session, "export.ready", {"id": "exp_1"}) == 1
            session.rollback()
        assert told(catalog) == []

    def test_an_endpoint_and_the_job_ask_for_the_same(
        self, catalog: Catalog, tmp_path: Any
    ) -> None:
        endpoint = add(catalog, tmp_path, "ci", "job.succeeded")
        job_id = add_job(catalog, 1)
        with catalog.write() as session:
            job = job_rows.lock_job(session, job_id)
            job.webhook = {"endpoint_id": endpoint, "endpoint": "ci",
                           "events": ["job.started", "job.succeeded"]}  # fmt: skip
        work(catalog, job_id, [0])
        assert names(catalog, endpoint) == ["job.succeeded"]  # started before it asked


def test_a_model_is_told_of_when_its_name_changes_its_meaning(
    catalog: Catalog, tmp_path: Any
) -> None:
    add(catalog, tmp_path, "models", "model.promoted")
    row = add_version(catalog)
    models.promote(catalog, row.model_name, 1)  # it is current already
    assert told(catalog) == [
        ("model.promoted", {"model": "tiny", "version": 1, "reference": "tiny:1"})
    ]


def test_rounds(catalog: Catalog, tmp_path: Any) -> None:
    add(catalog, tmp_path, "rounds", "round.completed", "model.promoted")
    add_version(catalog, "tiny")
    campaign = start(catalog, add_set(catalog, 3), rounds=1, promote=True)
    run(catalog, campaign)
    assert get_campaign(catalog, campaign).status == "succeeded"
    found = told(catalog)
    assert [event for event, _ in found] == ["model.promoted", "model.promoted", "round.completed"]
    data = found[-1][1]
    assert (data["campaign"], data["round"], data["status"]) == (campaign, 1, "promoted")
    assert data["model"] == found[-2][1]["reference"]
