"""Any order of turns, crashes and ends of jobs: each step is done once, nothing is lost.

A crash is a transaction that is rolled back, or one that is committed without its caller learning
of it; both kinds hit any transaction of a turn.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.campaigns import ENDED_CAMPAIGNS
from domain import campaigns, rounds
from storage.catalog.engine import Catalog
from storage.catalog.tables import CampaignStepRow, LabelSetRow
from tests.support.campaigns import (
    end_badly,
    events,
    finish,
    get,
    jobs_of,
    start,
)
from tests.support.catalogs import new_sqlite_catalog
from tests.support.rows import add_set, add_version, get_job


class Crash(Exception):
    pass


class CrashingCatalog(Catalog):
    """Dies in one of the next transactions that write, before or after its commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.crash_in: int | None = None
        self.after_commit = False

    @contextmanager
    def write(self) -> Iterator[Session]:
        is_hit = self.crash_in == 0
        if self.crash_in is not None:
            self.crash_in -= 1
        with super().write() as session:
            yield session
            if is_hit and not self.after_commit:
                raise Crash
        if is_hit:
            raise Crash


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(prefix="selvage-walk-")
        self.catalog = CrashingCatalog(
            new_sqlite_catalog(Path(self.folder.name) / "catalog.sqlite3")
        )
        add_version(self.catalog)
        self.campaign = start(self.catalog, add_set(self.catalog, 2), rounds=2)

    def teardown(self) -> None:
        self.catalog.close()
        self.folder.cleanup()

    @property
    def job_id(self) -> str | None:
        job_id = get(self.catalog, self.campaign).job_id
        return job_id if job_id and not get_job(self.catalog, job_id).finished_at else None

    @rule(crash_in=st.one_of(st.none(), st.integers(0, 5)), after_commit=st.booleans())
    def turn(self, crash_in: int | None, after_commit: bool) -> None:
        self.catalog.crash_in, self.catalog.after_commit = crash_in, after_commit
        try:
            for campaign_id in rounds.due(self.catalog):
                while rounds.advance(self.catalog, campaign_id):
                    pass
        except Crash:
            pass
        finally:
            self.catalog.crash_in = None

    @precondition(lambda self: self.job_id is not None)
    @rule()
    def a_job_ends_well(self) -> None:
        finish(self.catalog, self.job_id or "")

    @precondition(lambda self: self.job_id is not None)
    @rule(often=st.integers(0, 9))
    def a_job_ends_badly(self, often: int) -> None:
        if often == 0:
            end_badly(self.catalog, self.job_id or "", "cancelled")

    @precondition(lambda self: get(self.catalog, self.campaign).status in ("running", "paused"))
    @rule(pause=st.booleans())
    def pause_or_resume(self, pause: bool) -> None:
        with self.catalog.write() as session:
            (campaigns.pause if pause else campaigns.resume)(session, self.campaign)

    @rule(often=st.integers(0, 19))
    def stop(self, often: int) -> None:
        if often == 0:
            with self.catalog.write() as session:
                campaigns.stop(session, self.campaign)

    @invariant()
    def each_step_has_one_job(self) -> None:
        made = jobs_of(self.catalog, self.campaign)
        asked = Counter((job.job_metadata["round"], job.job_metadata["step"]) for job in made)
        assert all(n == 1 for n in asked.values()), asked
        with self.catalog.read() as session:
            rows = list(session.scalars(select(CampaignStepRow)))
            sets = Counter(row.made_for for row in session.scalars(select(LabelSetRow)))
        assert {row.job_id for row in rows if row.job_id} == {job.id for job in made}
        assert all(n == 1 for n in sets.values())

    @invariant()
    def events_are_in_order_and_end_once(self) -> None:
        told = [kind for kind, _ in events(self.catalog, self.campaign)]
        row = get(self.catalog, self.campaign)
        assert len(told) == row.event_seq
        ended = row.status in ENDED_CAMPAIGNS
        assert told.count("campaign.done") == int(ended)
        assert (told[-1] == "campaign.done") == ended
        assert (row.step is None) == (ended or row.round == 0)


Walk.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestWalk = Walk.TestCase


@pytest.mark.parametrize("after_commit", [False, True])
def test_a_crash_in_every_transaction(tmp_path: Path, after_commit: bool) -> None:
    """The whole way with a crash in each transaction ends like the way without any."""
    catalog = CrashingCatalog(new_sqlite_catalog(tmp_path / "catalog.sqlite3"))
    add_version(catalog)
    campaign = start(catalog, add_set(catalog, 2), rounds=2)
    crashes = 0
    for _ in range(500):
        row = get(catalog, campaign)
        if row.status in ENDED_CAMPAIGNS:
            break
        if row.job_id and not get_job(catalog, row.job_id).finished_at:
            finish(catalog, row.job_id)
        # die in the first transaction of this turn; the next turn may go through
        for crash_in in (0, None):
            catalog.crash_in, catalog.after_commit = crash_in, after_commit
            try:
                rounds.advance(catalog, campaign)
            except Crash:
                crashes += 1
            catalog.crash_in = None
    row = get(catalog, campaign)
    assert (row.status, row.round) == ("succeeded", 2)
    assert crashes > 10
    steps = [(j.job_metadata["round"], j.job_metadata["step"]) for j in jobs_of(catalog, campaign)]
    assert steps == [("1", "adapt"), ("1", "generate"), ("1", "train"),
                     ("2", "generate"), ("2", "train")]  # fmt: skip
    catalog.close()
