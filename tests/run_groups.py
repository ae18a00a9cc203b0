"""Runs installation, linters and tests group by group and shows what each of them costs.

Runs before anything is installed, so it needs nothing but the standard library.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TOTAL_BUDGET_SECONDS = 40 * 60
# A machine may be slow or busy; beyond this the suite itself is at fault.
_FAILS_BEYOND = 2.0
_NO_TESTS_COLLECTED = 5


@dataclass(frozen=True)
class Group:
    """Something to run, and the seconds that it should take at most."""

    name: str
    budget_seconds: float
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    group: Group
    seconds: float
    exit_code: int


def pytest_group(
    name: str,
    budget_seconds: float,
    *paths: str,
    without: Sequence[str] = (),
    processes: int = 1,
) -> Group:
    """Return a group of tests; folders that do not exist are left out.

    With several processes each runs whole files, so that what a file sets up is set up once.
    """
    there = [path for path in paths if (REPOSITORY / path).exists()]
    ignored = [f"--ignore={path}" for path in without]
    spread = ["--numprocesses", str(processes), "--dist", "loadfile"] if processes > 1 else []
    command = (
        ".venv/bin/python",
        "-m",
        "pytest",
        "-q",
        "--durations=12",
        "-m",
        "not slow",
        *spread,
        *there,
        *ignored,
    )
    return Group(name, budget_seconds, command if there else ())


def all_groups() -> list[Group]:
    """Return the groups in the order in which they run."""
    service = ("tests/service", "tests/workers")
    faults = ("tests/faults", "tests/contract")  # real processes: an installation per test process
    label_path = ("tests/models",)
    rounds = ("tests/models/adaptation", "tests/benchmarks/rounds")
    interop = ("tests/interop",)  # readers of other tools, as processes
    docs = ("tests/docs", "tests/pages")
    others = [*service, *faults, *label_path, *rounds, *interop, *docs]
    return [
        Group("install", 600, ("make", "--no-print-directory", "venv", "venv-interop")),
        Group("lint", 120, ("make", "--no-print-directory", "lint")),
        pytest_group("unit", 360, "tests", without=others, processes=2),
        pytest_group("service", 600, *service, processes=2),
        pytest_group("faults and contract", 600, *faults, processes=2),
        pytest_group("label path", 150, *label_path, without=rounds, processes=2),
        pytest_group("rounds", 240, *rounds, processes=2),
        pytest_group("interop", 90, *interop, processes=2),
        pytest_group("browser and docs", 360, *docs, processes=2),
    ]


def run_groups(
    groups: Sequence[Group], run: Callable[[Sequence[str]], int], clock: Callable[[], float]
) -> list[Outcome]:
    """Run the groups that have something to run; after a failed installation, no further one."""
    outcomes = []
    for group in groups:
        if not group.command:
            continue
        print(f"== {group.name}", flush=True)
        start = clock()
        exit_code = run(group.command)
        outcomes.append(Outcome(group, clock() - start, exit_code))
        if group.name == "install" and exit_code:
            break
    return outcomes


def report(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    """Return the table of costs, and whether all is well."""
    lines = ["", f"{'group':<20} {'seconds':>8} {'budget':>7}"]
    for outcome in outcomes:
        remark = ""
        if outcome.exit_code == _NO_TESTS_COLLECTED:
            remark = "FAILED: no test was found"
        elif outcome.exit_code:
            remark = "FAILED"
        elif outcome.seconds > outcome.group.budget_seconds:
            remark = "warning: over its budget"
        budget = outcome.group.budget_seconds
        lines.append(
            f"{outcome.group.name:<20} {outcome.seconds:>8.1f} {budget:>7.0f} {remark}".rstrip()
        )
    total = sum(outcome.seconds for outcome in outcomes)
    too_long = total > _FAILS_BEYOND * TOTAL_BUDGET_SECONDS
    remark = ""
    if total > TOTAL_BUDGET_SECONDS:
        remark = " FAILED: takes too long" if too_long else " warning: over its budget"
    lines.append(f"{'total':<20} {total:>8.1f} {TOTAL_BUDGET_SECONDS:>7.0f}{remark}")
    return "\n".join(lines), not too_long and not any(outcome.exit_code for outcome in outcomes)


def main() -> int:
    def run(command: Sequence[str]) -> int:
        return subprocess.run(command, cwd=REPOSITORY, check=False).returncode

    table, all_well = report(run_groups(all_groups(), run, time.monotonic))
    print(table)
    return 0 if all_well else 1


if __name__ == "__main__":
    sys.exit(main())
