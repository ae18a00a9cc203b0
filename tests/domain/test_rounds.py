"""Rounds on both databases, with jobs that the test plays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api_schemas.campaigns import CampaignCreate
from api_schemas.problems import (
    Gone,
    NotFound,
    OntologyMismatch,
    QuotaExceeded,
    StateConflict,
    ValidationProblem,
)
from domain import annotations, campaigns, deletion, label_sets, rounds
from domain.retention import Retention
from domain.round_turn import Limits
from domain.settings import Settings
from storage.catalog import label_sets as label_set_rows
from storage.catalog import models
from storage.catalog.engine import Catalog
from storage.catalog.models import find_version
from storage.catalog.tables import (
    CampaignRoundRow,
    CampaignRow,
    JobRow,
    LabelSetRow,
    ModelVersionRow,
)
from storage.objects import annotation_key
from tests.support.campaigns import (
    add_version_of,
    advance,
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
from tests.support.rows import CLASSES, add_set, add_version, digest_of, get_job


@pytest.fixture
def target(catalog: Catalog) -> str:
    add_version(catalog)
    return add_set(catalog, 3)


def annotated(catalog: Catalog, image_set: str, purpose: str, names: Any = (0, 1, 2)) -> str:
    ontology = {"name": "t", "classes": CLASSES}
    found = [(f"{i}.png", digest_of(i), annotation_key(digest_of(("a", i)))) for i in names]
    with catalog.write() as session:
        return annotations.store(
            session, image_set_id=image_set, purpose=purpose, ontology=ontology,
            annotations=found, rejected=0,
        ).id  # fmt: skip


def current(catalog: Catalog) -> int | None:
    with catalog.read() as session:
        model = models.get_model(session, "tiny")
    return model.current_version if model else None


class TestTheWay:
    def test_two_rounds(self, catalog: Catalog, target: str) -> None:
        truth = annotated(catalog, target, "evaluation")
        campaign = start(catalog, target, evaluation=truth, seed=7, steps=50, priority=3)
        assert run(catalog, campaign) == [
            "adapt", "baseline", "generate", "train", "evaluate",
            "generate", "train", "evaluate",
        ]  # fmt: skip
        row = get(catalog, campaign)
        assert (row.status, row.round, row.step, row.job_id) == ("succeeded", 2, None, None)
        assert steps(catalog, campaign) == [
            "1 adapt done", "1 baseline done", "1 generate done", "1 freeze done",
            "1 check_labels done", "1 train done", "1 evaluate done", "1 decide done",
            "2 generate done", "2 freeze done", "2 check_labels done", "2 train done",
            "2 evaluate done", "2 decide done",
        ]  # fmt: skip
        one, two = (round_of(catalog, campaign, n) for n in (1, 2))
        assert (one.status, two.status) == ("promoted", "promoted")
        assert (one.seed, two.seed) == (7, 8)
        # version 1 began, 2 was adapted and labelled, 3 learnt from it and labelled next
        with catalog.read() as session:
            numbers = [
                session.get_one(ModelVersionRow, version_id).version
                for version_id in (row.first_version_id, one.teacher_version_id,
                                   one.student_version_id, two.teacher_version_id,
                                   two.student_version_id, row.teacher_version_id)
            ]  # fmt: skip
            label_set = session.get(LabelSetRow, two.label_set_id)
        assert numbers == [1, 2, 3, 3, 4, 4]
        assert label_set is not None
        assert label_set.made_for == f"{campaign}/2"
        assert label_set.jobs == [step_of(catalog, campaign, 2, "generate").job_id]
        assert two.scores["teacher"] == one.scores["student"]
        assert current(catalog) == 1  # nobody asked to promote

        train = get_job(catalog, step_of(catalog, campaign, 2, "train").job_id or "")
        assert (train.priority, train.created_by) == (3, "key_a")
        assert train.job_metadata == {"campaign": campaign, "round": "2", "step": "train"}
        assert (train.params["seed"], train.params["steps"]) == (8, 50)
        assert train.params["label_set"] == two.label_set_id

    def test_what_is_told(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, rounds=1, adapt=False, promote=True)
        run(catalog, campaign)
        told = events(catalog, campaign)
        assert [(kind, data.get("status"), data.get("step")) for kind, data in told] == [
            ("campaign.status", "running", None),
            ("round.status", "running", None),
            ("step.status", "running", "generate"),
            ("step.status", "done", "generate"),
            ("step.status", "running", "freeze"),
            ("step.status", "done", "freeze"),
            ("step.status", "done", "check_labels"),
            ("step.status", "running", "train"),
            ("step.status", "done", "train"),
            ("step.status", "done", "decide"),
            ("model.promoted", None, None),
            ("round.status", "promoted", None),
            ("campaign.status", "succeeded", None),
            ("campaign.done", "succeeded", None),
        ]
        assert told[-1][1]["teacher"] == "tiny:2"
        assert get(catalog, campaign).event_seq == len(told)
        assert current(catalog) == 2

    def test_one_image_is_not_adapted_to(self, catalog: Catalog) -> None:
        add_version(catalog)
        campaign = start(catalog, add_set(catalog, 1), rounds=1)
        assert run(catalog, campaign) == ["generate", "train"]
        skipped = step_of(catalog, campaign, 1, "adapt")
        assert (skipped.status, skipped.job_id) == ("skipped", None)
        assert "at least two images" in (skipped.detail or "")
        assert get(catalog, campaign).status == "succeeded"

    def test_labels_by_people_are_trained_on(self, catalog: Catalog, target: str) -> None:
        people = annotated(catalog, target, "initial", [1])
        campaign = start(
            catalog, target, rounds=1, reviewed=people, selection={"reviewed_weight": 4}
        )
        run(catalog, campaign)
        with catalog.read() as session:
            row = label_sets.get_label_set(
                session, round_of(catalog, campaign, 1).label_set_id or ""
            )
            found = label_sets.entries_of(session, row.id)
        assert (row.images, row.reviewed) == (3, 1)
        assert [e.row.weight for e in found] == [1.0, 4.0, 1.0]


class TestGates:
    def test_labels_that_collapse_end_it(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, adapt=False)
        advance(catalog, campaign)
        for _ in ("generate", "train"):
            finish_current(catalog, campaign)
            advance(catalog, campaign)
        finish_current(catalog, campaign, class_pixels={"0": 750, "1": 18})
        advance(catalog, campaign)
        row, two = get(catalog, campaign), round_of(catalog, campaign, 2)
        assert (row.status, two.status) == ("halted", "kept_teacher")
        assert row.reason is not None
        assert row.reason["code"] == "gate-not-passed"
        assert "collapsed: sky" in row.reason["detail"]
        assert "'tiny:2'" in row.reason["detail"]
        assert two.student_version_id is None
        assert [g["gate"] for g in two.gates if not g["passed"]] == ["max_collapsed_classes"]
        # every image moved from (400, 368) of 768 pixels to (750, 18)
        drift = next(g for g in two.gates if g["gate"] == "max_label_drift")
        assert drift["value"] == pytest.approx(350 / 768)

    def test_no_kept_label(self, catalog: Catalog, target: str) -> None:
        campaign = start(catalog, target, adapt=False)
        run(catalog, campaign, class_pixels={"0": 0})
        row, one = get(catalog, campaign), round_of(catalog, campaign, 1)
        assert (row.status, one.status) == ("failed", "failed")
        assert one.reason is not None
        assert one.reason["code"] == "empty-selection"
        assert steps(catalog, campaign)[-1] == "1 freeze failed"
        with catalog.read() as session:
            assert not label_set_rows.list_label_sets(session, None, 10)

    @pytest.mark.parametrize(
        ("purpose", "after_a_drop", "status", "outcome", "marked"),
        [
            ("evaluation", "halt", "succeeded", "promoted", False),
            ("validation", "halt", "halted", "kept_teacher", True),
            ("validation", "continue", "succeeded", "kept_teacher", True),
        ],
    )
    def test_only_validation_steers(
        self, catalog: Catalog, target: str, purpose: str, after_a_drop: str, status: str,
        outcome: str, marked: bool,
    ) -> None:  # fmt: skip
        truth = annotated(catalog, target, purpose)
        gates = {"after_a_drop": after_a_drop}
        campaign = start(catalog, target, evaluation=truth, adapt=False, gates=gates)
        advance(catalog, campaign)
        for miou in (0.5, None, None, 0.3):  # baseline, generate, train, evaluate
            finish_current(catalog, campaign, **({} if miou is None else {"miou": miou}))
            advance(catalog, campaign)
        one = round_of(catalog, campaign, 1)
        assert one.status == outcome
        run(catalog, campaign, miou=0.3)
        row = get(catalog, campaign)
        assert row.status == status
        with catalog.read() as session:
            student = models.get_version(session, one.student_version_id or "")
        assert student is not None
        assert student.provenance["selected_with_labels"] is marked
        assert (student.provenance["campaign"], student.provenance["round"]) == (campaign, 1)
        if after_a_drop == "continue":
            two = round_of(catalog, campaign, 2)
            assert two.teacher_version_id == one.teacher_version_id == row.first_version_id
            assert two.scores["teacher"]["miou"] == 0.5


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


class TestRefused:
    def test_classes_that_differ(self, catalog: Catalog, target: str) -> None:
        with catalog.write() as session:
            other = annotations.store(
                session, image_set_id=target, purpose="source",
                ontology={"name": "t", "classes": CLASSES[::-1]},
                annotations=[("0.png", digest_of(0), "k")], rejected=0,
            ).id  # fmt: skip
        with pytest.raises(OntologyMismatch, match="Map them to the model's classes"):
            start(catalog, target, setting="uda", source={"annotations": other})

    def test_purposes(self, catalog: Catalog, target: str) -> None:
        sets = {p: annotated(catalog, target, p) for p in ("source", "initial", "evaluation")}
        with pytest.raises(StateConflict, match="purpose 'evaluation'"):
            start(catalog, target, setting="uda", source={"annotations": sets["evaluation"]})
        with pytest.raises(StateConflict, match="purpose 'initial'"):
            start(catalog, target, evaluation=sets["initial"])
        with pytest.raises(StateConflict, match="purpose 'source'"):
            start(catalog, target, reviewed=sets["source"])
        assert start(catalog, target, setting="uda", source={"annotations": sets["source"]})

    def test_what_cannot_be_trained(self, catalog: Catalog, target: str) -> None:
        add_version_of(catalog, "other", "x", kind="huggingface")
        with pytest.raises(ValidationProblem, match="only bundles"):
            start(catalog, target, model="other:1")
        with pytest.raises(NotFound):
            start(catalog, target, model="nobody")
        with pytest.raises(ValidationProblem, match="no usable image"):
            start(catalog, add_set(catalog, 0, rejected=1))
        with pytest.raises(ValidationProblem, match="no class 'tram'"):
            start(catalog, target, selection={"classes": ["tram"]})
        elsewhere = annotated(catalog, add_set(catalog, 1), "initial", [0])
        with pytest.raises(ValidationProblem, match="not of the target"):
            start(catalog, target, reviewed=elsewhere)

    @pytest.mark.parametrize(
        "body",
        [
            {"setting": "uda"},
            {"setting": "source_free", "source": {"annotations": "ann_" + "0" * 26}},
            {"rounds": 0},
            {"recipe": {"learning_rat": 1}},
            {"recipe": {"batch_size": 0}},
            {"recipe": {"augmentation": {"scale": [2.0, 1.0]}}},
            {"recipe": {"terms": {"pull": {"weight": float("nan")}}}},
            {"gates": {"max_label_drift": 0}},
            {"seed": 2**31 - 50},
        ],
    )
    def test_bodies(self, body: dict[str, Any]) -> None:
        whole = {"model": "tiny", "target": "set_" + "0" * 26, "setting": "source_free", **body}
        with pytest.raises(ValueError, match=r"validation error"):
            CampaignCreate.model_validate(whole)


def test_a_version_keeps_its_number(catalog: Catalog, target: str) -> None:
    campaign = start(catalog, target, rounds=1, adapt=False)
    run(catalog, campaign)
    with catalog.read() as session:
        made = find_version(session, "tiny", 2)
    assert made is not None
    assert made.id == get(catalog, campaign).teacher_version_id
