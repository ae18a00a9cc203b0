from collections.abc import Callable
from pathlib import Path

import pytest

from tests import run_groups
from tests.run_groups import Group, Outcome, report

INSTALL = Group("install", 10, ("make", "venv"))
UNIT = Group("unit", 10, ("pytest", "tests"))
ABSENT = Group("absent", 10, ())


def ticking(step_seconds: float) -> Callable[[], float]:
    seconds = iter(range(1000))
    return lambda: next(seconds) * step_seconds


def test_groups_without_a_folder_are_left_out():
    outcomes = run_groups.run_groups([INSTALL, ABSENT, UNIT], lambda _: 0, ticking(3))
    assert outcomes == [Outcome(INSTALL, 3, 0), Outcome(UNIT, 3, 0)]


def test_nothing_runs_after_a_failed_installation():
    outcomes = run_groups.run_groups([INSTALL, UNIT], lambda _: 2, ticking(3))
    assert outcomes == [Outcome(INSTALL, 3, 2)]


def test_a_failed_group_does_not_keep_the_next_from_running():
    outcomes = run_groups.run_groups([UNIT, UNIT], lambda _: 1, ticking(3))
    assert [outcome.exit_code for outcome in outcomes] == [1, 1]


@pytest.mark.parametrize(
    ("outcome", "line", "all_well"),
    [
        (Outcome(UNIT, 3.04, 0), "unit                      3.0      10", True),
        (
            Outcome(UNIT, 11.0, 0),
            "unit                     11.0      10 warning: over its budget",
            True,
        ),
        (Outcome(UNIT, 3.0, 1), "unit                      3.0      10 FAILED", False),
        (
            Outcome(UNIT, 3.0, 5),
            "unit                      3.0      10 FAILED: no test was found",
            False,
        ),
    ],
)
def test_report(outcome, line, all_well):
    table, well = report([outcome])
    assert line in table.splitlines()
    assert well is all_well


@pytest.mark.parametrize(
    ("seconds", "remark", "all_well"),
    [
        (2399.0, "2400", True),
        (2401.0, "warning: over its budget", True),
        (4801.0, "FAILED: takes too long", False),
    ],
)
def test_forty_minutes_in_all_are_the_budget_and_twice_that_is_a_failure(seconds, remark, all_well):
    table, well = report([Outcome(UNIT, seconds, 0)])
    assert well is all_well
    assert table.splitlines()[-1].endswith(remark)


def test_every_folder_of_tests_belongs_to_exactly_one_group():
    unit = next(group for group in run_groups.all_groups() if group.name == "unit")
    others = [group for group in run_groups.all_groups() if "pytest" in group.command]
    ignored = {part.removeprefix("--ignore=") for part in unit.command if "--ignore=" in part}
    taken = [
        part
        for group in others
        if group != unit
        for part in group.command
        if part.startswith("tests/")
    ]
    assert len(taken) == len(set(taken))
    assert set(taken) <= ignored
    assert {path for path in ignored if (Path(run_groups.REPOSITORY) / path).exists()} == set(taken)
