from typing import Any

from sqlalchemy import select, update

from domain import leases, sweep
from domain.leases import claim
from storage.catalog.chunks import mark_sent
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import IdempotencyRow, WorkerRow
from storage.catalog.workers import add_worker
from tests.support.rows import (
    add_job,
    assert_consistent,
    claim_items,
    counts_of,
    cut_chunk,
    get_chunks,
    get_items,
)


def test_expired_leases_are_taken_back(catalog: Catalog) -> None:
    job_id = add_job(catalog, 3)
    gone: Any = claim(catalog, cut_chunk(catalog, job_id, [0]), "wrk_a", lease_seconds=-1.0)
    alive = claim_items(catalog, job_id, [1])
    assert sweep.take_back_expired(catalog, 3) == 1
    assert sweep.take_back_expired(catalog, 3) == 0
    assert counts_of(assert_consistent(catalog, job_id)) == {"queued": 2, "running": 1}
    statuses = {c.id: (c.status, c.kills) for c in get_chunks(catalog, job_id)}
    assert statuses == {gone.lease.chunk_id: ("ready", 1), alive.lease.chunk_id: ("claimed", 0)}
    assert [i.kills for i in get_items(catalog, job_id)] == [1, 0, 0]


def test_a_renewed_lease_stays(catalog: Catalog) -> None:
    job_id = add_job(catalog, 1)
    claimed: Any = claim(catalog, cut_chunk(catalog, job_id, [0]), "wrk_a", lease_seconds=-1.0)
    assert leases.renew(catalog, claimed.lease, 60.0) == "running"
    assert sweep.take_back_expired(catalog, 3) == 0


def test_a_dead_worker_is_buried_at_once(catalog: Catalog) -> None:
    job_id = add_job(catalog, 2)
    with catalog.write() as session:
        add_worker(session, "wrk_a", queue="label", host="h", pid=1, device="cpu")
    claim_items(catalog, job_id, [0], owner="wrk_a")
    claim_items(catalog, job_id, [1], owner="wrk_b")
    assert sweep.bury_worker(catalog, "wrk_a", 3) == 1
    assert sweep.bury_worker(catalog, "wrk_a", 3) == 0
    assert [i.status for i in get_items(catalog, job_id)] == ["queued", "running"]
    with catalog.read() as session:
        assert session.get(WorkerRow, "wrk_a") is None


def test_unclaimed_messages_are_sent_again(catalog: Catalog) -> None:
    job_id = add_job(catalog, 2)
    chunk_ids = [cut_chunk(catalog, job_id, [0]), cut_chunk(catalog, job_id, [1])]
    with catalog.write() as session:
        assert [mark_sent(session, c) for c in chunk_ids] == [True, True]
        assert not mark_sent(session, chunk_ids[0])
    claim(catalog, chunk_ids[1], "wrk_a", 60.0)
    assert sweep.resend_unclaimed(catalog, older_than_seconds=90.0) == 0
    assert sweep.resend_unclaimed(catalog, older_than_seconds=0) == 1
    assert [c.status for c in get_chunks(catalog, job_id)] == ["ready", "claimed"]


def test_silent_workers_and_old_answers_are_forgotten(catalog: Catalog) -> None:
    with catalog.write() as session:
        for name in ("wrk_silent", "wrk_alive"):
            add_worker(session, name, queue="label", host="h", pid=1, device="cpu")
        silent = update(WorkerRow).where(WorkerRow.id == "wrk_silent")
        session.execute(silent.values(seen_at=db_now() - 301))
        for key, age_hours in (("old", 25), ("new", 23)):
            session.add(
                IdempotencyRow(
                    principal="local",
                    key=key,
                    fingerprint="f",
                    owner="o",
                    locked_until=0.0,
                    created_at=db_now() - age_hours * 3600,
                )  # fmt: skip
            )
        session.flush()
        sweep.expire(session, worker_silent_seconds=300, idempotency_hours=24)
    with catalog.read() as session:
        assert list(session.scalars(select(WorkerRow.id))) == ["wrk_alive"]
        assert list(session.scalars(select(IdempotencyRow.key))) == ["new"]
