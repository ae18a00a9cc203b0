"""`selvage gc` and `selvage db`, as an operator runs them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from domain.settings import Settings
from storage.catalog import migrations
from storage.catalog.engine import Catalog
from storage.catalog.tables import UnreachableObjectRow
from storage.objects import Objects, image_key
from tests.ops.processes import own_environment


def selvage(data_dir: Path, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "ops", *args],
        env=own_environment(SELVAGE_DATA_DIR=str(data_dir), COLUMNS="100", **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def table(output: str) -> list[list[str]]:
    """Cells of all lines of all tables, headings left out."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


@pytest.fixture
def litter(tmp_path: Path) -> Objects:
    """An image that nothing refers to, put two hours ago."""
    settings = Settings(data_dir=tmp_path)
    migrations.upgrade(settings.catalog_url)
    objects = Objects.open(settings.store_address)
    key = image_key(hashlib.sha256(b"x").hexdigest())
    objects.put_new(key, b"12345")
    (file,) = (tmp_path / "objects" / key).parent.iterdir()
    old = file.stat().st_mtime - 7200
    os.utime(file, (old, old))
    return objects


def test_dry_run_shows_and_changes_nothing(tmp_path: Path, litter: Objects) -> None:
    for _ in range(2):
        ended = selvage(tmp_path, "gc", "--dry-run")
        assert ended.returncode == 0, ended.stderr
        assert table(ended.stdout) == [["images", "1", "5"], ["all", "1", "5"]]
    assert len(list(litter.list("images"))) == 1


def test_marked_first_and_deleted_a_day_later(tmp_path: Path, litter: Objects) -> None:
    first = selvage(tmp_path, "gc")
    assert first.returncode == 0, first.stderr
    assert table(first.stdout) == [
        ["all", "0"], ["all", "0", "0"], ["images", "1", "5"], ["all", "1", "5"],
    ]  # fmt: skip
    assert len(list(litter.list("images"))) == 1
    catalog = Catalog(Settings(data_dir=tmp_path).catalog_url)
    with catalog.write() as session:
        marked_at = UnreachableObjectRow.marked_at
        session.execute(update(UnreachableObjectRow).values(marked_at=marked_at - 24.1 * 3600))
    catalog.close()
    second = selvage(tmp_path, "gc")
    assert table(second.stdout) == [
        ["all", "0"], ["images", "1", "5"], ["all", "1", "5"], ["all", "0", "0"],
    ]  # fmt: skip
    assert list(litter.list("images")) == []


def test_without_a_catalog(tmp_path: Path) -> None:
    for command in (["gc"], ["db", "check"]):
        ended = selvage(tmp_path / "none", *command)
        assert ended.returncode == 1
        assert "selvage db upgrade" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_schema_back_and_forth(tmp_path: Path) -> None:
    assert selvage(tmp_path, "db", "upgrade").returncode == 0
    assert selvage(tmp_path, "db", "check").stdout.startswith("The catalog has the schema")
    refused = selvage(tmp_path, "db", "downgrade", "0001")
    assert refused.returncode == 1
    assert "selvage db backup" in refused.stderr
    assert selvage(tmp_path, "db", "check").returncode == 0
    unknown = selvage(tmp_path, "db", "downgrade", "9999", "--yes")
    assert unknown.returncode == 1
    assert "no way to '9999'" in unknown.stderr
    assert selvage(tmp_path, "db", "downgrade", "0001", "--yes").returncode == 0
    old = selvage(tmp_path, "db", "check")
    assert old.returncode == 1
    assert "has schema 0001" in old.stderr
    assert selvage(tmp_path, "db", "upgrade").returncode == 0
    assert selvage(tmp_path, "db", "check").returncode == 0
