"""`selvage export`, with the real service behind a socket and a worker beside it."""

import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selvage_client import Selvage, SelvageError

from api_schemas.exports import Export
from tests.client.cli.test_resources import Run, run, silent_log
from tests.support.api import post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.live_server import live_server

__all__ = ["run", "silent_log"]


@pytest.fixture
def job(sqlite_site: Installation, tmp_path: Path) -> str:
    sqlite_site.add_tiny_model(tmp_path / "tiny")
    posted = post_images(sqlite_site, {f"{n}.png": png_bytes(n) for n in range(3)})
    sqlite_site.settle()
    return str(posted["job"]["id"])


@contextmanager
def worker(site: Installation) -> Iterator[None]:
    """Work in a thread for as long as the block lasts."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            site.settle()
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_exported_shown_fetched_again_and_deleted(
    run: Run, sqlite_site: Installation, job: str, tmp_path: Path
) -> None:
    dry = run("export", job, "--format", "cityscapes", "--class", "road", "--dry-run").stdout
    assert "classes-left-out" in dry
    with worker(sqlite_site):
        told = run("export", job, "-f", "coco", "--out", tmp_path, "--option", "split=val").stdout
    (file,) = tmp_path.glob("coco-job_*.zip")
    assert "succeeded" in told
    with zipfile.ZipFile(file) as archive:
        assert "annotations/instances_val.json" in archive.namelist()
    export_id = file.stem.removeprefix("coco-")
    assert export_id in run("exports", "list").stdout
    assert "coco" in run("exports", "show", export_id).stdout
    again = tmp_path / "again.zip"
    assert run("exports", "download", export_id, "--out", again).stdout.strip() == str(again)
    assert again.read_bytes() == file.read_bytes()
    run("exports", "cancel", export_id)
    run("exports", "delete", export_id)
    assert "No export yet" in run("exports", "list").stdout


def test_what_cannot_be_exported(run: Run, job: str) -> None:
    assert "no id of a job" in run("export", "night", code=1).output
    assert "NAME=VALUE" in run("export", job, "--option", "split", code=1).output
    assert "CONNECTION:PREFIX" in run("export", job, "--to", "lab:a", code=1).output
    assert "format" in run("export", job, "--format", "jpeg", code=1).output
    strict = run("export", job, "-f", "coco", "--class", "road", "--strict", code=1)
    assert "handling=strict" in strict.output


def test_a_damaged_download_leaves_no_file(
    sqlite_site: Installation, job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with live_server(sqlite_site) as live, Selvage(live.url) as client:
        made = client.exports.create("coco", {"job": job})
        sqlite_site.settle()
        done = client.exports.wait(made.id)
        assert isinstance(done, Export)
        get = client.exports.get
        wrong: Any = lambda export_id: get(export_id).model_copy(update={"sha256": "0" * 64})  # noqa: E731
        monkeypatch.setattr(client.exports, "get", wrong)
        with pytest.raises(SelvageError, match="did not come whole|not those of the export"):
            client.exports.download(made.id, folder)
    assert list(folder.iterdir()) == []
