"""The embedded broker as a real server under the real supervisor."""

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ops.broker import broker_process, open_broker, repair
from ops.log import ServiceLog
from ops.supervisor import Supervisor
from tests.ops.processes import own_environment, wait_for


class RunningBroker:
    """A supervised broker and a client of it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.broker = open_broker(data_dir)
        self.log_path = data_dir / "selvage.log"
        self.supervisor = Supervisor(
            [broker_process(self.broker, own_environment(), stop_rank=0)],
            ServiceLog(self.log_path, console=False),
            shutdown_seconds=5,
        )
        self.client = redis.Redis.from_url(self.broker.url)

    def wait_until_it_answers(self) -> None:
        def answers() -> bool:
            self.supervisor.step(0.02)
            try:
                return bool(self.client.ping())
            except redis.exceptions.ConnectionError:
                return False

        wait_for(answers)

    def kill(self) -> int:
        pid = self.supervisor.pids()["broker"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def append_only_file(self) -> Path:
        (path,) = (self.broker.folder / "appendonlydir").glob("*.incr.aof")
        return path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningBroker]:
    broker = RunningBroker(tmp_path)
    broker.wait_until_it_answers()
    yield broker
    broker.client.close()
    broker.supervisor.stop()


def test_it_listens_on_the_loopback_address_with_a_durable_configuration(running):
    def configured(name: str) -> str:
        return str(running.client.config_get(name)[name])

    assert configured("bind") == "127.0.0.1"
    assert configured("appendonly") == "yes"
    assert configured("appendfsync") == "everysec"
    assert configured("maxmemory-policy") == "noeviction"
    assert configured("save") == ""
    assert Path(configured("dir")) == running.data_dir / "broker"


def test_a_killed_broker_comes_back_at_its_address_with_its_messages(running):
    running.client.rpush("queue", "first", "second")
    running.kill()
    running.wait_until_it_answers()
    assert running.client.lrange("queue", 0, -1) == [b"first", b"second"]


def damage_the_middle(path: Path) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + b"\x00" * 20 + data[middle + 20 :])


def test_a_file_that_lacks_its_end_keeps_the_rest(running):
    for number in range(20):
        running.client.rpush("queue", number)
    running.kill()
    path = running.append_only_file()
    path.write_bytes(path.read_bytes()[:-3])
    running.wait_until_it_answers()
    assert running.client.llen("queue") == 19


def test_a_damaged_file_is_set_aside_and_the_broker_starts_empty(running):
    for number in range(20):
        running.client.rpush("queue", number)
    running.kill()
    damage_the_middle(running.append_only_file())
    running.wait_until_it_answers()
    assert running.client.llen("queue") == 0
    assert (running.broker.folder / "appendonlydir.damaged").is_dir()
    assert "could not load its files" in running.log_path.read_text()


def test_the_wiped_folder_of_a_killed_broker_is_no_trouble(running):
    running.client.rpush("queue", "first")
    running.kill()
    shutil.rmtree(running.broker.folder)
    running.wait_until_it_answers()
    assert running.client.llen("queue") == 0
    assert open_broker(running.data_dir, running.broker.port) == running.broker


@pytest.mark.parametrize(("exit_code", "lived_seconds"), [(0, 1.0), (-9, 1.0), (1, 11.0)])
def test_other_endings_leave_the_files_where_they_are(tmp_path, exit_code, lived_seconds):
    broker = open_broker(tmp_path)
    (broker.folder / "appendonlydir").mkdir()
    assert repair(broker, exit_code, lived_seconds) is None
    assert (broker.folder / "appendonlydir").is_dir()


class TestPort:
    def test_it_is_remembered(self, tmp_path):
        assert open_broker(tmp_path).port == open_broker(tmp_path).port

    def test_a_taken_one_is_replaced(self, tmp_path):
        first = open_broker(tmp_path).port
        with socket.create_server(("127.0.0.1", first)):
            second = open_broker(tmp_path).port
        assert second != first
        assert open_broker(tmp_path).port == second

    @pytest.mark.parametrize("content", ["", "x", "0", "70000", "-1"])
    def test_nonsense_in_the_file_is_replaced(self, tmp_path, content):
        (tmp_path / "broker").mkdir()
        (tmp_path / "broker" / "port").write_text(content)
        assert 20_000 <= open_broker(tmp_path).port < 32_000

    def test_a_wish_wins(self, tmp_path):
        assert open_broker(tmp_path, 21_234).url == "redis://127.0.0.1:21234/0"
