"""`selvage secrets`, run as an operator runs it."""

import json
import stat
from pathlib import Path

import pytest

from domain import connections
from domain.secrets import KEY_FILE, SecretKeeper
from domain.settings import Settings
from storage.catalog import connections as rows
from storage.catalog.engine import Catalog
from tests.ops.test_cli import selvage
from tests.support.catalogs import new_sqlite_catalog


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    new_sqlite_catalog(tmp_path / "catalog.sqlite3")
    return tmp_path


def keeper_of(data_dir: Path, key: str | None = None) -> SecretKeeper:
    return SecretKeeper(Settings(data_dir=data_dir, secret_key=key))


def open_catalog(data_dir: Path) -> Catalog:
    return Catalog(f"sqlite:///{data_dir / 'catalog.sqlite3'}")


def store(data_dir: Path, keeper: SecretKeeper) -> None:
    with open_catalog(data_dir).write() as session:
        sealed = json.dumps(keeper.seal({"password": "5ecret"}))
        values = {"id": "con_1", "name": "lab", "kind": "http", "config": {}, "secrets": sealed}
        assert rows.add_connection(session, values)


def stored(data_dir: Path, keeper: SecretKeeper) -> dict[str, str]:
    with open_catalog(data_dir).read() as session:
        return keeper.unseal(connections.secrets_of(connections.get(session, "lab")))


def new_key(data_dir: Path) -> str:
    made = selvage(data_dir, "secrets", "new-key")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def test_with_the_key_file(data_dir: Path) -> None:
    store(data_dir, keeper_of(data_dir))
    before = (data_dir / KEY_FILE).read_text()
    done = selvage(data_dir, "secrets", "rotate")
    assert done.returncode == 0, done.stderr
    assert "1 connections" in done.stdout
    assert "5ecret" not in done.stdout + done.stderr
    assert stored(data_dir, keeper_of(data_dir)) == {"password": "5ecret"}
    assert (data_dir / KEY_FILE).read_text().splitlines()[1:] == before.splitlines()
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600


def test_with_keys_in_the_environment(data_dir: Path) -> None:
    old, new = new_key(data_dir), new_key(data_dir)
    assert old != new
    store(data_dir, keeper_of(data_dir, old))
    lost = selvage(data_dir, "secrets", "rotate", SELVAGE_SECRET_KEY=new)
    assert lost.returncode == 1
    assert "No key fits the secrets of: lab" in lost.stderr
    done = selvage(data_dir, "secrets", "rotate", SELVAGE_SECRET_KEY=f"{new},{old}")
    assert done.returncode == 0, done.stderr
    assert "Former keys can go" in done.stdout
    assert stored(data_dir, keeper_of(data_dir, new)) == {"password": "5ecret"}
    assert not (data_dir / KEY_FILE).exists()


def test_what_is_no_key(data_dir: Path) -> None:
    answer = selvage(data_dir, "secrets", "rotate", SELVAGE_SECRET_KEY="5ecret")
    assert answer.returncode == 1
    assert "SELVAGE_SECRET_KEY" in answer.stderr
    assert "5ecret" not in answer.stdout + answer.stderr
    (data_dir / KEY_FILE).write_text("5ecret\n")
    answer = selvage(data_dir, "secrets", "rotate")
    assert answer.returncode == 1
    assert "selvage secrets new-key" in answer.stderr
    assert (data_dir / KEY_FILE).read_text() == "5ecret\n"


def test_no_catalog_yet(tmp_path: Path) -> None:
    answer = selvage(tmp_path, "secrets", "rotate")
    assert answer.returncode == 1
    assert "selvage db upgrade" in answer.stderr
    assert not (tmp_path / KEY_FILE).exists()
