"""The README's commands do what it says, run as they stand there against a real service."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selvage_client import Selvage

from benchmarks.scenes import generate_scene
from ops.embedded import embedded_service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data_dir = tmp_path_factory.mktemp("readme") / "data"
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", "examples/demo_model", "--name", "demo"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
    )
    with embedded_service(data_dir, SELVAGE_DEVICE="cpu", SELVAGE_TRAINING_WORKERS="0") as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seed in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(generate_scene("night", seed, (96, 128)).image).save(tmp_path / name)
    return tmp_path


def test_the_curl_sessions(url: str, folder: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [5, 5]
    session = "".join(blocks).replace("localhost:8700", url.removeprefix("http://"))
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-euo", "pipefail", "-c", session], cwd=folder, check=True, timeout=120)
    label = Image.open(folder / "label.png")
    assert label.mode == "P"
    assert label.size == (128, 96)
    assert len((folder / "results.jsonl").read_text().splitlines()) == 2
    assert set(np.unique(np.asarray(label))) <= {*range(10), 255}
    assert json.loads((folder / "refined.json").read_text())["type"] == "refine"
    lines = [(folder / name).read_text() for name in ("results.jsonl", "refined.jsonl")]
    before, after = ([json.loads(line) for line in text.splitlines()] for text in lines)
    assert [line["status"] for line in after] == ["succeeded", "succeeded"]
    for first, second in zip(before, after, strict=True):
        assert second["coverage"] < first["coverage"]


def test_the_python_example(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (folder / "night").mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).rename(folder / "night" / name)
    monkeypatch.chdir(folder)
    exec(compile(block.replace("http://localhost:8700", url), "README.md", "exec"), {})
    assert "2 of 2" in capsys.readouterr().out
    assert sorted(p.name for p in (folder / "labels" / "labels").iterdir()) == ["a.png", "b.png"]


def row_of(method: str) -> str:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| **{method}")]
    return row


def rounds_of_the_benchmarks() -> str:
    """The section of the page with what the methods of training gained."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    (section,) = re.findall(r"^## Rounds$.*?(?=^## )", page, re.DOTALL | re.MULTILINE)
    return section


def measured(row: str) -> tuple[str, str, str]:
    """mIoU with the interval's ends, of a row in the first table of that section."""
    found = re.search(
        rf"^\| {row} \| ([\d.]+) \(([\d.]+)–([\d.]+)\)", rounds_of_the_benchmarks(), re.M
    )
    assert found is not None, row
    return found[1], found[2], found[3]


@pytest.mark.parametrize(("method", "row"), [("CONFETI", "prototypes"), ("T2S-DA", "pull")])
def test_the_feature_table_says_what_was_measured_of_a_term(method: str, row: str) -> None:
    figure, lowest, _ = measured(row)
    base, _, highest_of_base = measured("plain")
    said = re.search(
        r"([\d.]+) % mIoU against ([\d.]+) of the base\]\(docs/benchmarks\.md#rounds\)",
        row_of(method),
    )
    assert said is not None
    assert (said[1], said[2]) == (figure, base)
    shown = float(lowest) > float(highest_of_base)
    assert ("no measured gain" in row_of(method)) is not shown


def test_what_the_feature_table_says_of_rectification_works(url: str, folder: Path) -> None:
    assert "works (reconstruction)" in row_of("IR2F")
    pipeline: dict[str, Any] = {"rectify": {}, "select": None, "keep_stages": True}
    with Selvage(url) as client:
        created = client.pseudo_labels([folder / "a.png"], model="demo", pipeline=pipeline)
        assert client.wait(created.job.id).status == "succeeded"
        (line,) = client.results(created.job.id)
        assert line.label_id is not None
        assert client.label(line.label_id).calibrated
        assert "stages/rectify.png" in client.label(line.label_id).artifacts


def test_what_the_feature_table_says_of_regions_works(url: str, folder: Path) -> None:
    assert "works, tested" in row_of("SeCo")
    assert "docs/benchmarks.md#regions" in row_of("SeCo")
    assert re.search(r"^## Regions$", (ROOT / "docs" / "benchmarks.md").read_text(), re.MULTILINE)
    pipeline = {"aggregate": {"region_model": "graph"}, "correct": {}, "keep_stages": True}
    with Selvage(url) as client:
        created = client.pseudo_labels([folder / "a.png"], model="demo", pipeline=pipeline)
        assert client.wait(created.job.id).status == "succeeded"
        (line,) = client.results(created.job.id)
        assert line.label_id is not None
        regions = json.loads(client.artifact(line.label_id, "regions.json"))
        stages = [name for name in client.label(line.label_id).artifacts if "stages/" in name]
    assert regions["decided_by"] in ("model", "none")  # a job of one image has few regions
    assert len(stages) == 4
