"""`selvage up` as a real process tree; API, scheduler and workers are small stand-ins."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.announcement import Announcement, announce, read_announcement
from tests.ops.processes import REPOSITORY, hear_signals, is_alive, own_environment, wait_for

STAND_INS = Path(__file__).parent / "stand_ins"


class Up:
    """A process of `selvage up` on a folder of its own."""

    def __init__(self, data_dir: Path, *options: str, **env: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops", "up", "--port", "0", *options],
            env=stand_in_environment(data_dir, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_signals,
        )

    def wait_until_ready(self) -> Announcement:
        wait_for(
            lambda: read_announcement(self.data_dir) or self.process.poll() is not None, seconds=60
        )
        announcement = read_announcement(self.data_dir)
        assert announcement is not None, self.process.communicate()
        return announcement

    def family(self) -> dict[str, psutil.Process]:
        """The running children by what they run."""
        children = psutil.Process(self.process.pid).children()
        named = {known_name(child): child for child in children}
        return {name: child for name, child in named.items() if name}

    def stop(self) -> tuple[str, str]:
        self.process.terminate()
        return self.process.communicate(timeout=60)


def stand_in_environment(data_dir: Path, **env: str) -> dict[str, str]:
    return own_environment(
        PYTHONPATH=f"{STAND_INS}{os.pathsep}{REPOSITORY}",
        SELVAGE_DATA_DIR=str(data_dir),
        SELVAGE_DEVICE="cpu",
        **env,
    )


def known_name(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
    if command[:1] and "valkey-server" in command[0]:  # it writes its address behind its name
        return "broker"
    # A child that was only just forked still looks like its parent.
    for queue in ("light", "training"):
        if queue in command:
            return queue
    names = ("service", "workers.scheduler", "workers.parent")
    return next((name for name in names if name in command), "")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "data", SELVAGE_SHUTDOWN_SECONDS="5")
    running.wait_until_ready()
    yield running
    if running.process.poll() is None:
        running.stop()


def environment_of_api(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/environment", timeout=10) as answer:
        return dict(json.load(answer))


def test_it_announces_itself_and_hands_down_the_settings(up):
    announcement = up.wait_until_ready()
    env = environment_of_api(announcement.url)
    assert announcement.pid == up.process.pid
    assert announcement.url == f"http://127.0.0.1:{announcement.port}"
    assert env["SELVAGE_PORT"] == str(announcement.port)
    assert env["SELVAGE_REDIS_URL"] == announcement.broker_url
    assert env["SELVAGE_DATA_DIR"] == str(up.data_dir)
    assert (up.data_dir / "up.json").stat().st_mode & 0o077 == 0
    assert (up.data_dir / "catalog.sqlite3").exists()


def test_each_killed_process_comes_back_where_it_was(up):
    announcement = up.wait_until_ready()
    wait_for(lambda: len(up.family()) == 6)
    first = up.family()
    for process in first.values():
        process.kill()

    def all_new() -> bool:
        now = up.family()
        return set(now) == set(first) and all(now[name] != first[name] for name in now)

    wait_for(all_new)
    wait_for(lambda: answers(announcement.port))
    assert environment_of_api(announcement.url)["SELVAGE_REDIS_URL"] == announcement.broker_url


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_stops_all_and_takes_back_the_announcement(up):
    url = up.wait_until_ready().url
    wait_for(lambda: len(up.family()) == 6)
    children = [process.pid for process in up.family().values()]
    out, log = up.stop()
    assert up.process.returncode == 0
    assert not any(is_alive(pid) for pid in children)
    assert read_announcement(up.data_dir) is None
    assert out.splitlines()[0].startswith(f"Selvage is ready: {url} ")
    assert "worker-0  | worker of ['--device', 'cpu'] sees None" in log.splitlines()
    assert "light-0   | worker of ['--queue', 'light'] sees None" in log.splitlines()
    assert "training-0 | worker of ['--queue', 'training'] sees " in log.splitlines()
    assert (up.data_dir / "selvage.log").read_text() == log


def test_nothing_outlives_its_violent_end(up):
    wait_for(lambda: len(up.family()) == 6)
    children = [process.pid for process in up.family().values()]
    up.process.kill()
    up.process.communicate()
    wait_for(lambda: not any(is_alive(pid) for pid in children), seconds=5)
    assert read_announcement(up.data_dir) is not None


def test_a_second_one_on_the_same_folder_says_who_is_there(up):
    second = Up(up.data_dir)
    _, errors = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert f"in use by process {up.process.pid}" in errors
    assert "SELVAGE_DATA_DIR" in errors


def test_an_address_that_others_can_reach_is_refused(tmp_path):
    refused = Up(tmp_path, SELVAGE_HOST="0.0.0.0")
    _, errors = refused.process.communicate(timeout=60)
    assert refused.process.returncode == 1
    assert "SELVAGE_HOST=0.0.0.0 can be reached from other machines" in errors


def test_a_taken_port_is_named_with_the_way_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        refused = Up(tmp_path, "--port", port)
        _, errors = refused.process.communicate(timeout=60)
    assert refused.process.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in errors
    assert "--port" in errors


def test_a_wrong_setting_is_named(tmp_path):
    refused = Up(tmp_path, SELVAGE_LOG_FORMAT="loud")
    _, errors = refused.process.communicate(timeout=60)
    assert refused.process.returncode == 1
    assert "SELVAGE_LOG_FORMAT" in errors


def test_it_gives_up_when_a_process_never_starts(tmp_path):
    left_by_a_killed_one = Announcement("http://127.0.0.1:1", 1, 1, "redis://127.0.0.1:1/0")
    announce(tmp_path, left_by_a_killed_one)
    broken = Up(tmp_path, STAND_IN_API="broken")
    _, log = broken.process.communicate(timeout=60)
    assert broken.process.returncode == 1
    assert "api       | the API is broken" in log.splitlines()
    assert "api does not start" in log
    assert read_announcement(tmp_path) is None


def test_a_queue_elsewhere_needs_no_broker_here(tmp_path):
    with_own_queue = Up(tmp_path, "--workers", "2", SELVAGE_REDIS_URL="redis://127.0.0.1:1/0")
    announcement = with_own_queue.wait_until_ready()
    wait_for(lambda: len(psutil.Process(with_own_queue.process.pid).children()) == 6)
    names = set(with_own_queue.family())
    with_own_queue.process.send_signal(signal.SIGINT)
    with_own_queue.process.communicate(timeout=60)
    assert with_own_queue.process.returncode == 0
    assert names == {"service", "workers.scheduler", "workers.parent", "light", "training"}
    assert announcement.broker_url == "redis://127.0.0.1:1/0"
