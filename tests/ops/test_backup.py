import sqlite3
import threading
from pathlib import Path

import pytest

from api_schemas.ids import new_id
from ops.backup import CannotBackUp, back_up_catalog
from storage.catalog import image_sets
from storage.catalog.engine import Catalog
from tests.support.catalogs import new_sqlite_catalog


@pytest.fixture
def url(tmp_path: Path) -> str:
    return new_sqlite_catalog(tmp_path / "catalog.sqlite3")


def add_set(catalog: Catalog) -> str:
    image_set = new_id("set")
    with catalog.write() as session:
        image_sets.add_image_set(session, image_set, None)
    return image_set


def test_a_copy_while_others_write(url: str, tmp_path: Path) -> None:
    catalog = Catalog(url)
    written = [add_set(catalog) for _ in range(50)]
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            add_set(catalog)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        size = back_up_catalog(url, tmp_path / "copies" / "catalog.sqlite3")
    finally:
        over.set()
        writer.join()
    assert size == (tmp_path / "copies" / "catalog.sqlite3").stat().st_size
    with Catalog(f"sqlite:///{tmp_path / 'copies' / 'catalog.sqlite3'}").read() as session:
        assert all(image_sets.get_image_set(session, i) is not None for i in written)
    with sqlite3.connect(tmp_path / "copies" / "catalog.sqlite3") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_exists_is_left_alone(url: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    with pytest.raises(CannotBackUp, match="exists already"):
        back_up_catalog(url, tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"precious"


def test_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CannotBackUp, match="no catalog yet"):
        back_up_catalog(f"sqlite:///{tmp_path / 'none'}", tmp_path / "copy")
    assert not (tmp_path / "none").exists()


def test_postgresql_is_copied_by_its_own_tool(tmp_path: Path) -> None:
    with pytest.raises(CannotBackUp, match="pg_dump .*selvage"):
        back_up_catalog("postgresql+psycopg://u:p@db/selvage", tmp_path / "copy")
