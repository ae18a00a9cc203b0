import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selvage_client.cli import label as label_module
from selvage_client.sync_client import Selvage

from tests.client.cli.command import selvage
from tests.client.fake_service import JOB_ID, FakeService, make_job, make_label_line, served


@pytest.fixture
def service() -> FakeService:
    lines = [make_label_line("a.png", "lab_1"), make_label_line("b.png", "lab_2", quality=1.0)]
    return FakeService(lines=lines, job_states=[make_job("succeeded", 2, total=2)])


class EntryPoint:
    """What `importlib.metadata` would find where the service is installed."""

    def __init__(self, starter: Callable[..., Any]) -> None:
        self._starter = starter

    def load(self) -> Callable[..., Any]:
        return self._starter


@pytest.fixture
def embedded(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    events: list[str] = []

    @contextmanager
    def embedded_service(data_dir: Path | None = None) -> Iterator[str]:
        events.append(f"start {data_dir}")
        with served(service) as url:
            yield url
        events.append("stop")

    found = {"group": "selvage.embedded", "name": "service"}

    def entry_points(**asked: str) -> list[EntryPoint]:
        return [EntryPoint(embedded_service)] if asked == found else []

    monkeypatch.setattr(label_module, "entry_points", entry_points)
    return events


def test_label_starts_a_service_labels_and_stops_it(
    embedded: list[str],
    images: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    result = selvage("label", images, "--model", "demo", "--out", out, "--data-dir", tmp_path / "d")
    assert result.exit_code == 0
    assert embedded == [f"start {tmp_path / 'd'}", "stop"]
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        "confidence/a.png",
        "confidence/b.png",
        "labels/a.png",
        "labels/b.png",
        "results.jsonl",
    ]
    for text in ("succeeded", "2 (0 images without one)", "mean coverage", "0.250", "0.750"):
        assert text in result.stdout


def test_label_uses_the_service_that_is_named(
    service: FakeService,
    embedded: list[str],
    images: Path,
    tmp_path: Path,
) -> None:
    with served(service) as url:
        result = selvage(
            "label", images, "--model", "demo", "--out", tmp_path / "out", "--url", url, "--json"
        )
    assert embedded == []
    summary = json.loads(result.stdout)
    assert summary["job"]["id"] == JOB_ID
    assert summary["labels"] == 2
    assert summary["mean"] == {"coverage": 0.25, "quality": 0.75}


def test_label_fetches_what_a_failed_job_left(
    service: FakeService,
    embedded: list[str],
    images: Path,
    tmp_path: Path,
) -> None:
    service.job_states = [make_job("failed", 1, total=2)]
    del service.lines[1]
    result = selvage("label", images, "--model", "demo", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert (tmp_path / "out/labels/a.png").exists()
    assert embedded[-1] == "stop"


def test_label_without_any_service_says_so(
    monkeypatch: pytest.MonkeyPatch,
    images: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(label_module, "entry_points", lambda **_: [])
    result = selvage("label", images, "--model", "demo", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "There is no service to ask" in result.stderr
    assert "--url http://127.0.0.1:8700" in result.stderr


def test_label_refuses_a_folder_of_other_files_before_the_work(
    embedded: list[str],
    images: Path,
    tmp_path: Path,
) -> None:
    (images / "labels").mkdir()
    (images / "labels" / "a.png").write_bytes(b"ground truth")
    result = selvage("label", images, "--model", "demo", "--out", images)
    assert result.exit_code == 1
    assert "is not empty" in result.stderr
    assert embedded == []
    assert (images / "labels" / "a.png").read_bytes() == b"ground truth"


def test_an_interrupted_label_says_how_to_go_on(
    embedded: list[str],
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Selvage, "progress", interrupted)
    result = selvage("label", images, "--model", "demo", "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert f"selvage watch {JOB_ID}" in result.stderr
    assert f"selvage download {JOB_ID} --out" in result.stderr
