"""Whatever workers, sweeper and users do in whatever order, the counts tell the truth."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select

from api_schemas.events import EVENT_TYPES
from domain import jobs, leases, sweep
from domain.job_states import is_done
from domain.leases import ClaimedChunk, Commit, LeaseLost, Outcome, claim, commit
from storage.catalog.engine import Catalog
from storage.catalog.events import events_between
from storage.catalog.tables import LabelRow
from tests.support.catalogs import new_sqlite_catalog
from tests.support.rows import (
    LEASE_SECONDS,
    add_job,
    add_set,
    assert_consistent,
    counts_of,
    cut_chunk,
    failure,
    get_chunks,
    get_items,
    get_job,
    success,
)

IMAGES = 7
OWNERS = ("wrk_a", "wrk_b", "wrk_c")


class LeaseWalk(RuleBasedStateMachine):
    """Workers claim, commit a part, release or die; the user cancels; old leases come back."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="selvage-walk-")
        url = new_sqlite_catalog(Path(self._folder.name) / "catalog.sqlite3")
        self.catalog = Catalog(url)
        self.job_id = add_job(self.catalog, image_set=add_set(self.catalog, IMAGES, rejected=1))
        self.held: list[ClaimedChunk] = []

    def teardown(self) -> None:
        self.catalog.close()
        self._folder.cleanup()

    def _hold(self, data: st.DataObject) -> ClaimedChunk:
        return data.draw(st.sampled_from(self.held))

    @rule(data=st.data(), n=st.integers(1, 4))
    def cut(self, data: st.DataObject, n: int) -> None:
        free = [
            i.position
            for i in get_items(self.catalog, self.job_id)
            if i.status == "queued" and i.chunk_id is None and i.evidence_digest is None
        ]
        if free and get_job(self.catalog, self.job_id).status == "running":
            cut_chunk(self.catalog, self.job_id, free[:n])

    @rule(data=st.data(), owner=st.sampled_from(OWNERS))
    def claim_one(self, data: st.DataObject, owner: str) -> None:
        found = get_chunks(self.catalog, self.job_id)
        if not found:
            return
        chunk = data.draw(st.sampled_from(found))
        claimed = claim(self.catalog, chunk.id, owner, LEASE_SECONDS)
        if claimed is not None:
            assert chunk.status in ("ready", "sent")
            self.held.append(claimed)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), close=st.booleans(), kind=st.sampled_from(["good", "bad", "evidence"]))
    def commit_some(self, data: st.DataObject, close: bool, kind: str) -> None:
        claimed = self._hold(data)
        positions = [i.position for i in claimed.items]
        if not close:
            positions = data.draw(st.lists(st.sampled_from(positions or [0]), max_size=3))
        outcomes = [self._outcome(kind, p) for p in positions]
        chunk = next(
            c for c in get_chunks(self.catalog, self.job_id) if c.id == claimed.lease.chunk_id
        )
        ours = chunk.status == "claimed" and chunk.lease_epoch == claimed.lease.epoch
        try:
            commit(self.catalog, claimed.lease, Commit(outcomes, close=close), LEASE_SECONDS)
        except LeaseLost:
            assert not ours
        else:
            assert ours

    def _outcome(self, kind: str, position: int) -> Outcome:
        if kind == "evidence":
            return Outcome(position=position, evidence_digest="e" * 64)
        return success(self.catalog, self.job_id, position) if kind == "good" else failure(position)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        leases.release(self.catalog, self._hold(data).lease)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        leases.take_back(self.catalog, self._hold(data).lease, 3)

    @rule(rare=st.integers(0, 7))
    def cancel(self, rare: int) -> None:
        if rare == 0:
            jobs.cancel(self.catalog, self.job_id)

    @rule()
    def go_on_cancelling(self) -> None:
        sweep.continue_cancelling(self.catalog, self.job_id)

    @invariant()
    def counts_tell_the_truth(self) -> None:
        job = assert_consistent(self.catalog, self.job_id)
        found = get_items(self.catalog, self.job_id)
        if is_done(job):
            assert not {"queued", "running"} & {i.status for i in found}
        assert job.evidence_ready == sum(i.evidence_digest is not None for i in found)
        held = {i.chunk_id for i in found if i.status == "running"}
        claimed = {c.id for c in get_chunks(self.catalog, self.job_id) if c.status == "claimed"}
        assert held <= claimed
        with self.catalog.read() as session:
            rows = session.scalar(select(func.count()).select_from(LabelRow))
            digests = session.scalar(select(func.count(LabelRow.digest.distinct())))
        labelled = {i.label_id for i in found if i.status == "succeeded"}
        assert rows == digests
        assert len(labelled) == counts_of(job).get("succeeded", 0)
        assert None not in labelled

    @invariant()
    def events_tell_what_the_rows_say(self) -> None:
        job = get_job(self.catalog, self.job_id)
        with self.catalog.read() as session:
            found = events_between(
                session, self.job_id, after_seq=0, upto_seq=job.event_seq, limit=10**6
            ).events
        numbers = [e.seq for e in found]
        assert numbers == sorted(set(numbers))
        by_type = {str(t): [e for e in found if e.type == t] for t in EVENT_TYPES}
        assert by_type["job.status"][-1].data["status"] == job.status
        assert by_type["stage.status"][-1].data["step"] == ("label" if is_done(job) else job.phase)
        items = get_items(self.catalog, self.job_id)
        for status in ("succeeded", "failed"):
            told = {e.data["position"] for e in by_type[f"item.{status}"]}
            assert told == {i.position for i in items if i.status == status}
            assert len(told) == len(by_type[f"item.{status}"])
        done = by_type["job.done"]
        assert len(done) == is_done(job)
        if done:
            assert numbers[-1] == done[0].seq == job.event_seq
            told_counts = done[0].data["counts"]
            assert {k: v for k, v in told_counts.items() if v and k != "total"} == counts_of(job)
        elif found[-1].type.startswith("item."):
            assert job.event_seq > numbers[-1]  # so that the counts are told as well


LeaseWalk.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLeaseWalk = LeaseWalk.TestCase
