import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ops.announcement import Announcement, announce, read_announcement
from ops.embedded import EmbeddedServiceFailed, embedded_service
from tests.ops.processes import REPOSITORY, is_alive, wait_for
from tests.ops.test_up import STAND_INS, environment_of_api, stand_in_environment

STAND_IN_PATH = f"{STAND_INS}{os.pathsep}{REPOSITORY}"


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SELVAGE_")]:
        monkeypatch.delenv(name)


def announced_pid(data_dir: Path) -> int:
    announcement = read_announcement(data_dir)
    assert announcement is not None
    return announcement.pid


def test_a_service_for_the_time_of_a_block(tmp_path):
    with embedded_service(
        tmp_path, PYTHONPATH=STAND_IN_PATH, SELVAGE_WORKERS="0", SELVAGE_PORT="1"
    ) as url:
        env = environment_of_api(url)
        pid = announced_pid(tmp_path)
        assert env["SELVAGE_DATA_DIR"] == str(tmp_path)
        assert env["SELVAGE_WORKERS"] == "0"
    assert not is_alive(pid)
    assert read_announcement(tmp_path) is None


def test_a_running_service_is_joined_and_left_running(tmp_path):
    with embedded_service(tmp_path, PYTHONPATH=STAND_IN_PATH, SELVAGE_WORKERS="0") as first:
        with embedded_service(tmp_path) as second:
            assert second == first
        with urllib.request.urlopen(f"{first}/readyz", timeout=10) as answer:
            assert answer.status == 200


def test_an_announcement_of_the_dead_is_not_believed(tmp_path):
    announce(tmp_path, Announcement("http://127.0.0.1:1", 1, 1, "redis://127.0.0.1:1/0"))
    with embedded_service(tmp_path, PYTHONPATH=STAND_IN_PATH, SELVAGE_WORKERS="0") as url:
        assert url != "http://127.0.0.1:1"


def test_a_service_that_does_not_start_tells_why(tmp_path):
    with (
        pytest.raises(EmbeddedServiceFailed, match="the API is broken"),
        embedded_service(tmp_path, PYTHONPATH=STAND_IN_PATH, STAND_IN_API="broken"),
    ):
        pass


def test_a_setting_that_does_not_fit_is_named(tmp_path):
    with (
        pytest.raises(EmbeddedServiceFailed, match="SELVAGE_WORKERS"),
        embedded_service(tmp_path, SELVAGE_WORKERS="-1"),
    ):
        pass


def test_it_stops_when_its_owner_is_killed(tmp_path):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys, time\nfrom ops.embedded import embedded_service\n"
            "with embedded_service(pathlib.Path(sys.argv[1])): time.sleep(600)",
            str(tmp_path),
        ],
        env=stand_in_environment(tmp_path, SELVAGE_WORKERS="1"),
    )
    wait_for(lambda: read_announcement(tmp_path), seconds=60)
    pid = announced_pid(tmp_path)
    owner.kill()
    owner.wait()
    wait_for(lambda: not is_alive(pid))
    assert read_announcement(tmp_path) is None
