"""How rounds and campaigns end that do not go well, or that somebody stops; on both databases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api_schemas.problems import (
    Gone,
    QuotaExceeded,
    StateConflict,
)
from domain import campaigns, deletion, label_sets, rounds
from domain.retention import Retention
from domain.round_turn import Limits
from domain.settings import Settings
from storage.catalog.engine import Catalog
from storage.catalog.tables import (
    CampaignRoundRow,
    CampaignRow,
    JobRow,
)
from tests.support.campaigns import (
    advance,
    annotated,
    end_badly,
    events,
    finish_current,
    get,
    jobs_of,
    round_of,
    run,
    start,
    step_of,
    steps,
)
from tests.support.rows import add_set, add_version, get_job


@pytest.fixture
def target(catalog: Catalog) -> str:
    add_version(catalog)
    return add_set(catalog, 3)


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("step", "how"),
        [("adapt", "failed"), ("generate", "cancelled"), ("train", "failed"),
         ("evaluate", "cancelled")],
    )  # fmt: skip
    def test_a_job_that_ends_badly(
        self, catalog: Catalog, target: str, step: str, how: str
    ) -> None:
        truth = annotated(catalog, target, "evaluation")
        campaign = start(catalog, target, evaluation=truth)
        advance(catalog, campaign)
        while get(catalog, campaign).step != step:
            finish_current(catalog, campaign)
            advance(catalog, campaign)
        job = get(catalog, campaign).job_id or ""
        end_badly(catalog, job, how)
        advance(catalog, campaign)
        row, one = get(catalog, campaign), round_of(catalog, campaign, 1)
        assert (row.status, one.status) == ("failed", "failed")
        assert row.reason == one.reason
        assert row.reason is not None
        assert row.reason["code"] == "step-failed"
        assert job in row.reason["detail"]
        assert ("disk is full" if how == "failed" else "cancelled") in row.reason["detail"]
        assert steps(catalog, campaign)[-1] == f"1 {step} failed"

    def test_a_partial_job_is_good_enough(self, catalog: Catalog) -> None:
        add_version(catalog)
        campaign = start(catalog, add_set(catalog, 2, rejected=1), rounds=1, adapt=False)
        run(catalog, campaign)
        job = get_job(catalog, step_of(catalog, campaign, 1, "generate").job_id or "")
        assert (job.status, get(catalog, campaign).status) == ("partial", "succeeded")

    def test_no_room_is_waited_for(self, catalog: Catalog, target: str) -> None:
        def refuse(_session: Any, _job: JobRow) -> None:
            raise QuotaExceeded("This key may have 1 unfinished jobs.")

        campaign = start(catalog, target, rounds=1, adapt=False)
        advance(catalog, campaign, Limits(admit=refuse))
        row = get(catalog, campaign)
        assert (row.status, row.step, row.job_id) == ("running", "generate", None)
        assert row.waiting is not None
        assert row.waiting["code"] == "quota-exceeded"
        assert jobs_of(catalog, campaign) == []
        assert rounds.due(catalog) == []  # not at once
        with catalog.write() as session:
            session.execute(update(CampaignRow).values(next_at=1.0))
        assert rounds.due(catalog) == [campaign]
        run(catalog, campaign)
        row = get(catalog, campaign)
        assert (row.status, row.waiting) == ("succeeded", None)

    def test_labels_that_are_deleted_before_training(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, adapt=False)
        advance(catalog, campaign)
        finish_current(catalog, campaign)
        while get(catalog, campaign).step != "train":
            rounds.advance(catalog, campaign)
        label_set = round_of(catalog, campaign, 1).label_set_id or ""
        with catalog.read() as session:
            label_id = label_sets.entries_of(session, label_set)[0].row.label_id or ""
        deletion.delete_label(catalog, label_id, force=True)
        advance(catalog, campaign)
        row = get(catalog, campaign)
        assert row.status == "failed"
        assert row.reason is not None
        assert row.reason["code"] == "labels-missing"

    def test_a_model_that_is_not_there(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, rounds=1, adapt=False)
        advance(catalog, campaign)
        finish_current(catalog, campaign)
        advance(catalog, campaign)
        finish_current(catalog, campaign)
        with catalog.write() as session:
            session.execute(update(JobRow).where(JobRow.type == "train").values(result={}))
        advance(catalog, campaign)
        row = get(catalog, campaign)
        assert (row.status, (row.reason or {})["code"]) == ("failed", "not-found")

    def test_what_it_works_with_cannot_be_deleted(self, catalog: Catalog, target: str) -> None:
        truth = annotated(catalog, target, "evaluation")
        campaign = start(catalog, target, evaluation=truth, adapt=False)
        advance(catalog, campaign)
        for _ in ("baseline", "generate", "train"):
            finish_current(catalog, campaign)
            advance(catalog, campaign)
        generate = step_of(catalog, campaign, 1, "generate").job_id or ""
        label_set = round_of(catalog, campaign, 1).label_set_id or ""
        attempts: list[Callable[[], None]] = [
            lambda: deletion.delete_image_set(catalog, target, force=True),
            lambda: deletion.delete_annotation_set(catalog, truth, force=True),
            lambda: deletion.delete_job(catalog, generate, force=True),
            lambda: deletion.delete_label_set(catalog, label_set, force=True),
            lambda: deletion.delete_model_version(catalog, "tiny", 1, force=True),
            lambda: deletion.delete_model_version(catalog, "tiny", 2, force=True),
        ]
        for attempt in attempts:
            with pytest.raises(StateConflict) as refused:
                attempt()
            assert f"/v1/campaigns/{campaign}" in [e.pointer for e in refused.value.errors]
        run(catalog, campaign)
        deletion.delete_label_set(catalog, label_set)
        deletion.delete_annotation_set(catalog, truth)
        deletion.delete_job(catalog, generate)


class TestPauseAndStop:
    def test_paused_and_resumed(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, rounds=1, adapt=False)
        advance(catalog, campaign)
        with catalog.write() as session:
            campaigns.pause(session, campaign)
            campaigns.pause(session, campaign)
        finish_current(catalog, campaign)
        advance(catalog, campaign)
        assert rounds.due(catalog) == []
        assert steps(catalog, campaign) == ["1 generate running"]
        with catalog.write() as session:
            campaigns.resume(session, campaign)
        assert rounds.due(catalog) == [campaign]
        run(catalog, campaign)
        assert get(catalog, campaign).status == "succeeded"
        with catalog.write() as session:
            with pytest.raises(StateConflict, match="is succeeded"):
                campaigns.pause(session, campaign)
            assert campaigns.stop(session, campaign).status == "succeeded"

    @pytest.mark.parametrize("paused", [False, True])
    def test_stopped(self, catalog: Catalog, target: str, paused: bool) -> None:
        campaign = start(catalog, target, adapt=False)
        advance(catalog, campaign)
        job = get(catalog, campaign).job_id or ""
        with catalog.write() as session:
            if paused:
                campaigns.pause(session, campaign)
            assert campaigns.stop(session, campaign).status == "stopping"
            with pytest.raises(StateConflict, match="is stopping"):
                campaigns.resume(session, campaign)
        rounds.due(catalog)
        end_badly(catalog, job, "cancelled")
        assert rounds.due(catalog) == [campaign]
        advance(catalog, campaign)
        row, one = get(catalog, campaign), round_of(catalog, campaign, 1)
        assert (row.status, one.status) == ("stopped", "stopped")
        assert get_job(catalog, job).status == "cancelled"
        assert events(catalog, campaign)[-1][0] == "campaign.done"

    def test_stopped_before_it_began(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target)
        with catalog.write() as session:
            campaigns.stop(session, campaign)
        advance(catalog, campaign)
        assert get(catalog, campaign).status == "stopped"
        assert jobs_of(catalog, campaign) == []

    def test_deleted_while_it_runs(self, catalog: Catalog, target: str, tmp_path: Path) -> None:
        campaign = start(catalog, target, adapt=False)
        advance(catalog, campaign)
        job = get(catalog, campaign).job_id or ""
        with pytest.raises(StateConflict, match=":stop"):
            campaigns.delete(catalog, campaign)
        campaigns.delete(catalog, campaign, force=True)
        with catalog.read() as session, pytest.raises(Gone):
            campaigns.get_campaign(session, campaign)
        rounds.due(catalog)
        end_badly(catalog, job, "cancelled")
        advance(catalog, campaign)
        assert get(catalog, campaign).status == "stopped"
        Retention(catalog, Settings(data_dir=tmp_path, keep_deleted_days=0)).slice(2)
        with catalog.read() as session:
            assert session.get(CampaignRow, campaign) is None
            assert session.scalar(select(CampaignRoundRow)) is None
        assert get_job(catalog, job).status == "cancelled"

    def test_one_that_fails_again_and_again(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, adapt=False)
        advance(catalog, campaign)
        rounds.give_up(catalog, campaign, "KeyError")
        rounds.give_up(catalog, campaign, "KeyError")
        row = get(catalog, campaign)
        assert (row.status, (row.reason or {})["code"]) == ("failed", "campaign-stuck")
        assert round_of(catalog, campaign, 1).status == "failed"
