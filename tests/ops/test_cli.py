"""The operator's commands, run as a user runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from domain.settings import Settings
from ops.announcement import Announcement, announce
from ops.cli import register
from ops.settings_view import settings_rows
from tests.ops.processes import own_environment, wait_for
from tests.ops.test_up import Up, stand_in_environment


def selvage(data_dir: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "ops", *args],
        env=stand_in_environment(data_dir, **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_existing_group_gets_the_operators_commands_too():
    app = typer.Typer()
    models = typer.Typer()
    models.command("list")(lambda: None)
    app.add_typer(models, name="models")
    register(app)
    help_text = CliRunner().invoke(app, ["models", "--help"]).output
    assert all(word in help_text for word in ("list", "add", "convert", "pull"))


@pytest.mark.parametrize(
    "arguments", [["folder", "--name", "night", "--no-promote"], ["--name", "night", "folder"]]
)
def test_adding_a_model_shows_what_the_check_says_and_ends_like_it(tmp_path, arguments):
    ended = selvage(tmp_path, "models", "add", *arguments)
    assert ended.stdout == f"{arguments}\n"
    assert ended.returncode == 3


@pytest.mark.parametrize("command", ["add", "convert", "pull"])
def test_help_is_that_of_the_module_that_runs(tmp_path, command):
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "ops", "models", command, "--help"],
        env=own_environment(SELVAGE_DATA_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith(f"usage: selvage models {command} ")


def test_the_catalog_is_made(tmp_path):
    ended = selvage(tmp_path / "new", "db", "upgrade")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "new" / "catalog.sqlite3").exists()


@pytest.mark.parametrize(
    "command", [["worker", "label"], ["worker", "light"], ["worker", "training"], ["scheduler"]]
)
def test_a_process_without_a_service_says_what_is_missing(tmp_path, command):
    ended = selvage(tmp_path, *command)
    assert ended.returncode == 1
    assert "selvage up" in ended.stderr
    assert "SELVAGE_REDIS_URL" in ended.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["worker", "label"], "worker of ['--device', 'cpu'] sees None"),
        (["worker", "label", "--device", "cuda:1"], "worker of ['--device', 'cuda:1'] sees None"),
        (["worker", "light"], "worker of ['--queue', 'light'] sees None"),
        (["worker", "training"], "worker of ['--queue', 'training'] sees "),
    ],
)
def test_a_worker_takes_the_place_of_the_command(tmp_path, command, expected):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ops", *command],
        env=stand_in_environment(tmp_path, SELVAGE_REDIS_URL="redis://127.0.0.1:1/0"),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"{expected}\n"
    process.terminate()
    process.communicate(timeout=20)


def test_one_worker_for_each_gpu(tmp_path):
    announce(tmp_path, Announcement("http://127.0.0.1:1", 1, 1, "redis://127.0.0.1:1/0"))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ops", "worker", "label", "--gpus", "all"],
        env=stand_in_environment(tmp_path, CUDA_VISIBLE_DEVICES="0,3"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = {process.stderr.readline() for _ in range(2)}
    assert lines == {
        "gpu-0     | worker of ['--device', 'cuda:0'] sees 0\n",
        "gpu-3     | worker of ['--device', 'cuda:0'] sees 3\n",
    }
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_settings_are_shown_without_secrets(tmp_path):
    ended = selvage(tmp_path, "settings", SELVAGE_PORT="8711", COLUMNS="250")
    assert "SELVAGE_PORT" in ended.stdout
    assert "8711" in ended.stdout
    settings = Settings(
        database_url="postgresql+psycopg://selvage:hidden@db/selvage",
        redis_url="redis://:hidden@queue/0",
    )
    values = {row[0]: row[1] for row in settings_rows(settings)}
    assert values["SELVAGE_DATABASE_URL"] == "postgresql+psycopg://selvage:***@db/selvage"
    assert not any("hidden" in value for value in values.values())


def test_workers_are_dealt_out_over_the_gpus(tmp_path):
    running = Up(tmp_path, "--workers", "3", "--device", "auto", CUDA_VISIBLE_DEVICES="0,3")
    running.wait_until_ready()
    running_log = tmp_path / "selvage.log"
    expected = {
        "worker-0  | worker of ['--device', 'auto'] sees 0",
        "worker-1  | worker of ['--device', 'auto'] sees 3",
        "worker-2  | worker of ['--device', 'auto'] sees 0",
    }
    wait_for(lambda: expected <= set(running_log.read_text().splitlines()))
    running.stop()


def test_one_training_on_all_gpus(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ops", "worker", "training", "--gpus", "all"],
        env=stand_in_environment(
            tmp_path, CUDA_VISIBLE_DEVICES="0,3", SELVAGE_REDIS_URL="redis://127.0.0.1:1/0"
        ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "worker of ['--queue', 'training'] sees 0,3\n"
    process.terminate()
    process.communicate(timeout=20)
