import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.log import ServiceLog
from ops.supervisor import ChildSpec, Supervisor, restart_delay
from tests.ops.processes import (
    REPOSITORY,
    hear_signals,
    is_alive,
    own_environment,
    script,
    wait_for,
)

STEADY = script("import signal\nprint('hello', flush=True)\nwhile True: signal.pause()")
STUBBORN = script(
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\nwhile True: signal.pause()"
)
SHORT = script("print('one line')\nprint('no newline', end='')\nraise SystemExit(3)")


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "selvage.log"


def supervisor_of(log_path: Path, *specs: ChildSpec, shutdown_seconds: float = 5.0) -> Supervisor:
    log = ServiceLog(log_path, console=False)
    return Supervisor(specs, log, shutdown_seconds=shutdown_seconds)


def spec(name: str, command: tuple[str, ...], stop_rank: int = 0) -> ChildSpec:
    return ChildSpec(name, command, own_environment(), stop_rank=stop_rank)


def step_until(
    supervisor: Supervisor, condition: Callable[[], bool], seconds: float = 15.0
) -> None:
    def stepped() -> bool:
        supervisor.step(0.01)
        return condition()

    wait_for(stepped, seconds)


@pytest.mark.parametrize(
    ("previous_seconds", "lived_seconds", "expected_seconds"),
    [
        (0.0, 0.1, 0.2),
        (0.2, 0.1, 0.4),
        (0.4, 29.9, 0.8),
        (6.4, 0.1, 10.0),
        (10.0, 0.1, 10.0),
        (10.0, 30.0, 0.2),
    ],
)
def test_delay_doubles_up_to_ten_seconds_and_begins_anew_after_a_steady_life(
    previous_seconds, lived_seconds, expected_seconds
):
    assert restart_delay(previous_seconds, lived_seconds) == expected_seconds


def test_a_child_that_cannot_be_started_is_tried_again_and_harms_no_other(log_path, tmp_path):
    program = tmp_path / "program"
    supervisor = supervisor_of(log_path, spec("absent", (str(program),)), spec("api", STEADY))
    step_until(supervisor, lambda: supervisor.deaths_in_a_row["absent"] == 2)
    assert supervisor.pids().keys() == {"api"}
    assert "absent    | " not in log_path.read_text()
    assert "absent could not be started ([Errno 2] No such file" in log_path.read_text()
    program.write_text("#!/bin/sh\necho at last\nexec sleep 60\n")
    program.chmod(0o700)
    step_until(supervisor, lambda: "absent    | at last" in log_path.read_text())
    supervisor.stop()


def test_a_killed_child_is_restarted(log_path):
    supervisor = supervisor_of(log_path, spec("api", STEADY))
    step_until(supervisor, lambda: "hello" in log_path.read_text())
    first_pid = supervisor.pids()["api"]

    os.kill(first_pid, signal.SIGKILL)
    step_until(supervisor, lambda: supervisor.pids().get("api", first_pid) != first_pid)
    step_until(supervisor, lambda: log_path.read_text().count("hello") == 2)

    assert "api was killed by SIGKILL" in log_path.read_text()
    supervisor.stop()


def test_what_a_dead_child_left_behind_is_killed(log_path):
    parent = script(
        "import subprocess, sys, signal\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        "print('grandchild', child.pid, flush=True)\nwhile True: signal.pause()"
    )
    supervisor = supervisor_of(log_path, spec("worker", parent))
    step_until(supervisor, lambda: "grandchild" in log_path.read_text())
    grandchild_pid = int(log_path.read_text().split("grandchild ")[1].split()[0])

    os.kill(supervisor.pids()["worker"], signal.SIGKILL)
    step_until(supervisor, lambda: not is_alive(grandchild_pid))
    supervisor.stop()


def test_back_off_and_count_of_deaths(log_path):
    supervisor = supervisor_of(log_path, spec("api", SHORT))
    step_until(supervisor, lambda: supervisor.deaths_in_a_row["api"] == 3)
    supervisor.stop()

    notes = [line for line in log_path.read_text().splitlines() if "restart in" in line]
    assert [note.split("restart in ")[1] for note in notes] == ["0.2 s", "0.4 s", "0.8 s"]
    assert all("ended with exit code 3" in note for note in notes)


def test_repair_before_a_restart_sees_how_the_child_ended(log_path):
    seen: list[int] = []

    def repair(exit_code: int, lived_seconds: float) -> str:
        assert 0 <= lived_seconds < 15
        seen.append(exit_code)
        return "mended"

    child = ChildSpec("broker", SHORT, own_environment(), before_restart=repair)
    supervisor = supervisor_of(log_path, child)
    step_until(supervisor, lambda: seen == [3])
    supervisor.stop()
    assert "mended" in log_path.read_text()


def test_lines_carry_the_name_of_their_process_and_lose_their_colours(log_path):
    coloured = script("print('\\x1b[31mred\\x1b[0m')")
    supervisor = supervisor_of(log_path, spec("api", SHORT), spec("scheduler", coloured))
    step_until(
        supervisor,
        lambda: (
            {"api       | one line", "api       | no newline", "scheduler | red"}
            <= set(log_path.read_text().splitlines())
        ),
    )
    supervisor.stop()


def test_children_stop_in_the_order_of_their_ranks(tmp_path, log_path):
    def speaking(name: str) -> tuple[str, ...]:
        return script(
            "import signal, sys\n"
            f"def bye(*_): print('bye {name}', flush=True); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, bye)\nprint('up', flush=True)\n"
            "while True: signal.pause()"
        )

    names_by_rank = ["api", "worker", "scheduler", "broker"]
    supervisor = supervisor_of(
        log_path,
        *(spec(name, speaking(name), rank) for rank, name in reversed([*enumerate(names_by_rank)])),
    )
    step_until(supervisor, lambda: log_path.read_text().count("| up") == 4)
    supervisor.stop()
    words = [line.split("bye ")[1] for line in log_path.read_text().splitlines() if "bye" in line]
    assert words == names_by_rank


def test_a_stubborn_child_is_killed_after_its_time(log_path):
    supervisor = supervisor_of(log_path, spec("api", STUBBORN), shutdown_seconds=0.3)
    step_until(supervisor, lambda: "deaf" in log_path.read_text())
    pid = supervisor.pids()["api"]
    supervisor.stop()
    assert not is_alive(pid)
    assert "api did not stop in time and is killed" in log_path.read_text()


def test_a_second_request_to_stop_does_not_wait(log_path):
    supervisor = supervisor_of(log_path, spec("api", STUBBORN), shutdown_seconds=600)
    step_until(supervisor, lambda: "deaf" in log_path.read_text())
    pid = supervisor.pids()["api"]
    supervisor.request_stop()
    supervisor.request_stop()
    supervisor.stop()
    assert not is_alive(pid)


def test_the_end_of_a_stream_stops_the_run(log_path):
    reading_end, writing_end = os.pipe()
    supervisor = supervisor_of(log_path, spec("api", STEADY))
    supervisor.stop_at_end_of(reading_end)
    threading.Timer(0.3, os.close, [writing_end]).start()
    supervisor.run()
    assert supervisor.stopping
    assert supervisor.pids() == {}
    os.close(reading_end)


SUPERVISING = """
import sys
from pathlib import Path
from ops.log import ServiceLog
from ops.supervisor import ChildSpec, Supervisor
from tests.ops.test_supervisor import STEADY, STUBBORN, spec
supervisor = Supervisor(
    [spec("steady", STEADY), spec("stubborn", STUBBORN)],
    ServiceLog(Path(sys.argv[1]), console=False),
    shutdown_seconds=0.5,
)
supervisor.run(lambda: print(*supervisor.pids().values(), flush=True))
"""


def start_supervising_process(log_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING, str(log_path)],
        cwd=REPOSITORY,
        env=own_environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    )
    assert process.stdout is not None
    child_pids = [int(word) for word in process.stdout.readline().split()]
    assert len(child_pids) == 2
    wait_for(lambda: {"hello", "deaf"} <= set(log_path.read_text().split()))
    return process, child_pids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_and_ends_well(log_path, number):
    process, child_pids = start_supervising_process(log_path)
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode == 0
    assert not any(is_alive(pid) for pid in child_pids)


def test_no_child_outlives_a_killed_supervisor(log_path):
    process, child_pids = start_supervising_process(log_path)
    process.kill()
    process.communicate(timeout=15)
    wait_for(lambda: not any(is_alive(pid) for pid in child_pids), seconds=5)
