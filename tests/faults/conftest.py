"""One installation for all faults: each must leave it fit for the next."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.running import ROOT, Running
from tests.support.images import jpeg_bytes
from tests.support.tiny_model import write_tiny_bundle

IMAGES = 24


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/faults" in str(item.path):
            item.add_marker(pytest.mark.faults)


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run of the same images gives."""

    files: dict[str, bytes]
    labels: dict[str, str]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("faults")
    data_dir = folder / "data"
    write_tiny_bundle(folder / "model", seed=3)
    subprocess.run(
        [sys.executable, "-m", "workers.add_model", str(folder / "model"), "--name", "tiny"],
        env={**os.environ, "SELVAGE_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        check=True,
    )
    service = Running(
        data_dir, {"SELVAGE_WORKERS": "1", "SELVAGE_FETCH_ALLOW_NETWORKS": "127.0.0.1/32"}
    )
    service.start()
    yield service
    if service.process is not None and service.process.poll() is None:
        service.stop()


@pytest.fixture(scope="session")
def reference(running: Running) -> Reference:
    files = {f"{i:02d}.jpg": jpeg_bytes(i, 360, 480) for i in range(IMAGES)}
    job_id = running.submit(files, seed=0)
    assert running.wait_done(job_id)["status"] == "succeeded"
    labels = running.label_bytes(job_id)
    assert len(labels) == IMAGES
    return Reference(files, labels)


@pytest.fixture
def data_dir(running: Running) -> Path:
    return running.data_dir
