"""Rounds on both databases, with jobs that the test plays."""

import pytest

from domain import label_sets
from storage.catalog import label_sets as label_set_rows
from storage.catalog import models
from storage.catalog.engine import Catalog
from storage.catalog.models import find_version
from storage.catalog.tables import (
    LabelSetRow,
    ModelVersionRow,
)
from tests.support.campaigns import (
    advance,
    annotated,
    events,
    finish_current,
    get,
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


def test_a_version_keeps_its_number(catalog: Catalog, target: str) -> None:
    campaign = start(catalog, target, rounds=1, adapt=False)
    run(catalog, campaign)
    with catalog.read() as session:
        made = find_version(session, "tiny", 2)
    assert made is not None
    assert made.id == get(catalog, campaign).teacher_version_id
